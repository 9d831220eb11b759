//! The machine's only program: static, since there is nothing beside it.

use std::path::PathBuf;

use crate::{
    error::Error,
    process::{self, cargo},
    workspace,
};

/// Builds it; where it is.
pub(super) fn build() -> Result<PathBuf, Error> {
    let root = workspace::root();
    process::run(
        cargo()
            .current_dir(&root)
            .args([
                "rustc",
                "--package",
                "rsfaas-guest",
                "--bin",
                "rsfaas-guest",
            ])
            // For the program alone: libraries are the same in a static program, and built already.
            .args([
                "--",
                "-C",
                "target-feature=+crt-static",
                "-C",
                "strip=debuginfo",
            ]),
    )?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    Ok(target.join("debug/rsfaas-guest"))
}
