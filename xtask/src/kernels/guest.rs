//! The machine's only program: static, since there is nothing beside it.

use std::path::PathBuf;

use crate::{build::program, error::Error, process::cargo, workspace};

/// Builds it; where it is.
pub(super) fn build() -> Result<PathBuf, Error> {
    program::built_by(
        cargo()
            .current_dir(workspace::root())
            .args([
                "rustc",
                "--package",
                "rsfaas-guest",
                "--bin",
                "rsfaas-guest",
            ])
            .args(program::TELL)
            // For the program alone: libraries are the same in a static program, and built already.
            .args([
                "--",
                "-C",
                "target-feature=+crt-static",
                "-C",
                "strip=debuginfo",
            ]),
        "bin",
        "rsfaas-guest",
    )
}
