//! The eBPF object.

use super::{artifact::Pending, toolchain::Toolchain};
use crate::{error::Error, fingerprint::SPOTTER, process, workspace};

const TARGET: &str = "bpfel-unknown-none";

/// Builds `target/artifacts/spotter.o`.
pub(crate) fn build() -> Result<(), Error> {
    let root = workspace::root();
    let toolchain = Toolchain::find()?;
    println!("eBPF: {}", toolchain.description());
    let pending = Pending::new(SPOTTER, &root)?;
    // A folder of its own: another compiler and other flags would throw out what is built already.
    let target = root.join("target/ebpf");
    process::run(
        toolchain
            .cargo()
            .current_dir(&root)
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", SPOTTER.flags.join(" "))
            .args(["build", "--package", SPOTTER.package])
            .args(SPOTTER.arguments),
    )?;
    pending.finish(&target.join(TARGET).join("release/rsfaas-spotter"))
}
