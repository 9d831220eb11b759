//! `cargo xtask test-kernels`: the agent's packet path on other kernels, each booted in a virtual machine
//! whose only process is `tests/guest`.
//!
//! A machine that ends without its verdict has failed, whatever it printed before.

mod guest;
mod initramfs;
mod machine;
mod package;
mod table;

use std::{fs, path::Path};

use crate::{
    build,
    error::{At as _, Error},
    process::find,
    setup, workspace,
};
use package::Kernel;
use table::Table;

/// The kernels, by the Debian release that brings them and what sets them apart.
const KERNELS: [(Kernel, &str); 3] = [
    (
        Kernel {
            version: "5.10",
            release: Some("bullseye"),
        },
        "the oldest",
    ),
    (
        Kernel {
            version: "6.1",
            release: None,
        },
        "clsact, before TCX",
    ),
    (
        Kernel {
            version: "6.12",
            release: None,
        },
        "TCX",
    ),
];

/// What a kernel is asked for by.
pub(crate) const VERSIONS: [&str; 3] = [
    KERNELS[0].0.version,
    KERNELS[1].0.version,
    KERNELS[2].0.version,
];

/// The Debian packages that it installs.
pub(crate) const PACKAGES: [&str; 1] = [machine::QEMU_PACKAGE];

/// Boots each kernel and prints what passed where.
///
/// # Errors
/// When something failed on one of them, or could not be run there.
pub(crate) fn run(only: Option<&str>) -> Result<(), Error> {
    if find(machine::QEMU).is_none() {
        setup::install(&PACKAGES)?;
    }
    build::artifacts()?;
    let guest = guest::build()?;
    let folder = workspace::root().join("target/kernels");
    fs::create_dir_all(&folder).at(&folder)?;
    let mut table = Table::default();
    for (kernel, remark) in &KERNELS {
        if only.is_some_and(|only| only != kernel.version) {
            continue;
        }
        println!("\n== Linux {} ({remark})", kernel.version);
        match boot(kernel, &folder, &guest) {
            Ok(output) => table.add(kernel.version, &output),
            Err(error) => {
                println!("failed: {error}");
                table.add(kernel.version, "");
            }
        }
    }
    table.finish()
}

fn boot(kernel: &Kernel, folder: &Path, guest: &Path) -> Result<String, Error> {
    let files = kernel.fetch(folder)?;
    println!("{}", files.name);
    let image = folder.join(format!("{}.cpio", kernel.version));
    fs::write(&image, initramfs::build(guest, &files.modules)?).at(&image)?;
    machine::run(&files.image, &image)
}
