//! The virtual machine: the kernel, the initramfs, and a serial line that is all of its output.

use std::{path::Path, process::Command};

use crate::{error::Error, process};

/// The emulator.
pub(super) const QEMU: &str = "qemu-system-x86_64";
/// The Debian package that has it.
pub(super) const QEMU_PACKAGE: &str = "qemu-system-x86";
/// Longest time that a machine may run, in seconds: it is many times slower than a real one.
const LIMIT: &str = "600";

/// Runs it to its end; what it wrote, which is shown too. How it ended says nothing: the verdict does.
pub(super) fn run(kernel: &Path, initramfs: &Path) -> Result<String, Error> {
    let mut machine = Command::new("timeout");
    machine.args([LIMIT, QEMU]);
    // Emulated everywhere alike: hosts that are machines themselves often have a KVM that fails.
    machine.args(["-accel", "tcg", "-cpu", "max"]);
    machine.args(["-smp", "2", "-m", "1024", "-nodefaults", "-display", "none"]);
    // A panic restarts the machine, as the guest does when it is done; either ends it.
    machine.args(["-no-reboot", "-serial", "stdio"]);
    machine.args(["-append", "console=ttyS0 quiet panic=-1"]);
    machine.arg("-kernel").arg(kernel);
    machine.arg("-initrd").arg(initramfs);
    process::watch(&mut machine)
}
