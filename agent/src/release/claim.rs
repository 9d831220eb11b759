//! One agent a network namespace: two would hold the same requests, and each would take the other's pair of interfaces
//! away.
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

use super::ReleaseError;

/// Where the locks are: nobody but root takes them.
const FOLDER: &str = "/run/rsfaas";
/// Of its bytes each stands for a network namespace, by the number that the kernel gives that (namespaces(7)).
const FILE: &str = "agents.lock";

/// The network namespace is this process's, for as long as this lives.
///
/// The lock is the process's own (`F_SETLK` in fcntl(2)): programs that it starts do not inherit it, and it ends with the
/// process, whatever ends that.
#[derive(Debug)]
pub(super) struct Claim(
    #[expect(dead_code, reason = "kept open: closing it gives the lock up")] File,
);

impl Claim {
    /// Takes the network namespace.
    ///
    /// # Errors
    /// When another agent has it, or the system refuses.
    pub(super) fn take() -> Result<Self, ReleaseError> {
        let namespace = fs::metadata("/proc/self/ns/net").map_err(ReleaseError::Claim)?;
        take(Path::new(FOLDER), namespace.ino())
    }
}

fn take(folder: &Path, namespace: u64) -> Result<Claim, ReleaseError> {
    let file = open(folder).map_err(ReleaseError::Claim)?;
    let byte = byte(namespace).map_err(ReleaseError::Claim)?;
    match fcntl(&file, FcntlArg::F_SETLK(&byte)) {
        Ok(_) => Ok(Claim(file)),
        Err(Errno::EAGAIN | Errno::EACCES) => Err(ReleaseError::Claimed {
            by: holder(&file, byte),
        }),
        Err(errno) => Err(ReleaseError::Claim(errno.into())),
    }
}

/// Opens the file, and makes it and its folder where they are missing.
fn open(folder: &Path) -> io::Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(FILE))
}

/// A lock of one byte.
fn byte(at: u64) -> io::Result<libc::flock> {
    Ok(libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: i64::try_from(at).map_err(io::Error::other)?,
        l_len: 1,
        l_pid: 0,
    })
}

/// Whose lock it is, in words.
fn holder(file: &File, mut byte: libc::flock) -> String {
    // It may just have been given up.
    match fcntl(file, FcntlArg::F_GETLK(&mut byte)) {
        Ok(_) if byte.l_pid > 0 => format!("process {}", byte.l_pid),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn who_comes_second_is_told_who_was_first() {
        let folder = tempfile::tempdir().unwrap();
        drop(take(folder.path(), 7).unwrap());
        let script = "import fcntl, sys\n\
                      f = open(sys.argv[1], 'r+')\n\
                      fcntl.lockf(f, fcntl.LOCK_EX, 1, 7)\n\
                      print('locked', flush=True)\n\
                      sys.stdin.read()\n";
        let mut first = Command::new("python3")
            .args(["-c", script])
            .arg(folder.path().join(FILE))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(first.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let refused = take(folder.path(), 7).unwrap_err();
        assert!(matches!(refused, ReleaseError::Claimed { .. }));
        let text = refused.to_string();
        assert!(text.contains(&format!("process {}", first.id())), "{text}");
        assert!(take(folder.path(), 8).is_ok(), "another namespace");
        first.kill().unwrap();
        first.wait().unwrap();
        assert!(take(folder.path(), 7).is_ok());
    }
}
