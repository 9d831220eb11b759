//! What programs and the kernel have told the system's logs.
use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use nix::libc;

use crate::canary::{Place, Scan, Unsearchable};

/// Where systemd keeps it, in a folder a machine.
const JOURNALS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];
const KERNEL_LOG: &str = "/dev/kmsg";

/// The journal of systemd, since the secrets were made. Its own files are compressed.
#[derive(Debug, Clone, Copy)]
pub struct Journal {
    /// When.
    pub since: SystemTime,
}

impl Place for Journal {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn is_absent(&self) -> Option<String> {
        // An empty one comes with a package, on hosts where nobody writes to it.
        let is_kept = |folder: &&str| {
            fs::read_dir(folder).is_ok_and(|mut machines| machines.next().is_some())
        };
        let found = JOURNALS.iter().any(is_kept);
        (!found).then(|| "this host keeps none".into())
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let failed = Unsearchable::at("journalctl");
        let mut journal = Command::new("journalctl")
            .args(["--no-pager", "--quiet", "--output=export"])
            .arg(format!("--since=@{}", since.as_secs()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        scan.item();
        if let Some(told) = journal.stdout.take() {
            scan.stream(&"journal", 0, told)
                .map_err(Unsearchable::at("journalctl"))?;
        }
        let status = journal.wait().map_err(Unsearchable::at("journalctl"))?;
        if status.success() {
            Ok(())
        } else {
            Err(Unsearchable::because("journalctl", &status.to_string()))
        }
    }
}

/// The kernel's log.
#[derive(Debug, Clone, Copy)]
pub struct KernelLog;

impl Place for KernelLog {
    fn name(&self) -> &'static str {
        "kernel log"
    }

    fn is_absent(&self) -> Option<String> {
        let none = !Path::new(KERNEL_LOG).exists();
        none.then(|| format!("no {KERNEL_LOG}"))
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        let mut log = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(KERNEL_LOG)
            .map_err(Unsearchable::at(KERNEL_LOG))?;
        scan.item();
        // Each read gives one record, of at most 8 KiB.
        let mut record = [0; 8192];
        loop {
            match log.read(&mut record) {
                Ok(0) => return Ok(()),
                Ok(length) => scan.bytes(&KERNEL_LOG, 0, &record[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // Overwritten while it was read: the next one follows.
                Err(error) if is_overwritten(&error) => {}
                Err(error) => return Err(Unsearchable::new(KERNEL_LOG, error)),
            }
        }
    }
}

fn is_overwritten(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPIPE)
}
