//! The machine: file systems, kernel modules, the end.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::Path,
};

use nix::{
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::reboot::{RebootMode, reboot},
};

use crate::failure::{Failure, Trying as _};

/// `MODULE_INIT_COMPRESSED_FILE` of `linux/module.h`, which nix does not name.
const COMPRESSED: ModuleInitFlags = ModuleInitFlags::from_bits_retain(4);

/// Mounts what the agent reads, and loads the modules in `/modules`, in the order of their names.
pub(crate) fn prepare() -> Result<(), Failure> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(place).trying(place)?;
        let data: Option<&str> = None;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), data)
            .trying(format!("mount {place}"))?;
    }
    let mut modules = Vec::new();
    for entry in fs::read_dir("/modules").trying("/modules")? {
        modules.push(entry.trying("/modules")?.path());
    }
    modules.sort();
    modules.iter().try_for_each(|path| load(path))
}

fn load(path: &Path) -> Result<(), Failure> {
    let file = File::open(path).trying(path.display().to_string())?;
    let flags = if path.extension() == Some(OsStr::new("ko")) {
        ModuleInitFlags::empty()
    } else {
        COMPRESSED
    };
    finit_module(file, c"", flags).trying(format!("load {}", path.display()))
}

/// Ends the machine, which was started so that a reboot does that. Returns only where it cannot.
pub(crate) fn stop() {
    let Err(error) = reboot(RebootMode::RB_AUTOBOOT);
    println!("the machine does not stop: {error}");
}
