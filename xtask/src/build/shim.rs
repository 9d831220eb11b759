//! The programs that run inside containers: static, since nothing is known about the image.

use super::artifact::Pending;
use crate::{
    error::Error,
    fingerprint::{GATE, LOCKED},
    process::{self, cargo},
    workspace,
};

/// Builds `target/artifacts/gate` and `target/artifacts/locked`.
pub(crate) fn build() -> Result<(), Error> {
    let root = workspace::root();
    let host = host()?;
    let pending = [Pending::new(GATE, &root)?, Pending::new(LOCKED, &root)?];
    let target = root.join("target/shim");
    process::run(
        cargo()
            .current_dir(&root)
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", GATE.flags.join(" "))
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            // With the target named, the flags do not reach build scripts and macros, which cannot
            // be static.
            .args(["build", "--package", GATE.package])
            .args(GATE.arguments)
            .args(["--target", &host]),
    )?;
    let release = target.join(&host).join("release");
    for (pending, name) in pending.into_iter().zip(["gate", "locked"]) {
        pending.finish(&release.join(name))?;
    }
    Ok(())
}

/// The compiler's own platform.
fn host() -> Result<String, Error> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = process::output(std::process::Command::new(rustc).arg("-vV"))?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| Error::Needs("`rustc -vV` does not name its host".into()))
}
