//! Locks that are a process's own (`F_SETLK` in fcntl(2)): programs that it starts do not inherit them, and they end with
//! it, whatever ends that.
use std::{fs::File, io, os::unix::fs::OpenOptionsExt as _, path::Path};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

/// A part of a file that is this process's, for as long as this lives.
///
/// Another opening of the same file that this process closes gives the lock up, too (fcntl(2)): each file is locked in one
/// place.
#[derive(Debug)]
pub(crate) struct Lock(
    #[expect(dead_code, reason = "kept open: closing it gives the lock up")] File,
);

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Somebody else has it: who, in words.
    Held(String),
    /// The system did not give it.
    Io(io::Error),
}

impl Lock {
    /// Takes the whole of a file, which is made where it is missing.
    ///
    /// # Errors
    /// When another process has a part of it, or the system refuses.
    pub(crate) fn whole(path: &Path) -> Result<Self, Refused> {
        // Up to wherever the file ends.
        take(path, 0, 0)
    }

    /// Takes one byte of a file, which is made where it is missing and need not be as long.
    ///
    /// # Errors
    /// When another process has it, or the system refuses.
    pub(crate) fn byte(path: &Path, at: u64) -> Result<Self, Refused> {
        let at = i64::try_from(at).map_err(|error| Refused::Io(io::Error::other(error)))?;
        take(path, at, 1)
    }
}

fn take(path: &Path, start: i64, length: i64) -> Result<Lock, Refused> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(Refused::Io)?;
    let part = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_SETLK(&part)) {
        Ok(_) => Ok(Lock(file)),
        Err(Errno::EAGAIN | Errno::EACCES) => Err(Refused::Held(holder(&file, part))),
        Err(errno) => Err(Refused::Io(errno.into())),
    }
}

/// Whose lock it is, in words.
fn holder(file: &File, mut part: libc::flock) -> String {
    // It may just have been given up.
    match fcntl(file, FcntlArg::F_GETLK(&mut part)) {
        Ok(_) if part.l_pid > 0 => format!("process {}", part.l_pid),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Child, Command, Stdio},
    };

    use super::*;

    /// Another process that has taken a part of a file: where it starts, and its length.
    fn other(path: &Path, start: u64, length: u64) -> Child {
        // Its child, which lives longer, does not keep the lock.
        let script = "import fcntl, subprocess, sys\n\
                      f = open(sys.argv[1], 'w')\n\
                      fcntl.lockf(f, fcntl.LOCK_EX, int(sys.argv[3]), int(sys.argv[2]))\n\
                      subprocess.Popen(['sleep', '5'], stdout=subprocess.DEVNULL, pass_fds=[f.fileno()])\n\
                      print('locked', flush=True)\n\
                      sys.stdin.read()\n";
        let mut other = Command::new("python3")
            .args(["-c", script])
            .arg(path)
            .args([start, length].map(|number| number.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(other.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        other
    }

    fn end(mut other: Child) {
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn what_another_process_has_is_not_taken_before_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        drop(Lock::whole(&path).unwrap());
        let other = other(&path, 0, 0);
        let refused = Lock::whole(&path).unwrap_err();
        let by = format!("process {}", other.id());
        assert!(
            matches!(&refused, Refused::Held(who) if *who == by),
            "{refused:?}"
        );
        end(other);
        assert!(Lock::whole(&path).is_ok());
    }

    #[test]
    fn each_byte_has_a_lock_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let other = other(&path, 7, 1);
        assert!(matches!(Lock::byte(&path, 7), Err(Refused::Held(_))));
        assert!(Lock::byte(&path, 8).is_ok());
        end(other);
        assert!(Lock::byte(&path, 7).is_ok());
    }
}
