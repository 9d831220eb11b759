//! One agent, or one sweep, at a time: both end and remove whatever carries the state folder's host ID.
use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt as _,
};

use rustix::{
    fs::{FlockOperation, fcntl_lock},
    process::{Flock, FlockType, fcntl_getlk},
};

use super::{StateDir, StateError};

/// The containers that belong to a state folder are this process's, for as long as this lives.
///
/// The lock is the process's own: programs that it starts do not inherit it, and it ends with the process, whatever
/// ends that.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "kept open: closing it gives the lock up")] File);

impl StateDir {
    /// Takes the containers that belong to this folder; the folder is made where it is missing.
    ///
    /// # Errors
    /// When another process has them, or the system refuses.
    pub fn claim(&self) -> Result<Claim, StateError> {
        let path = self.root().join("agent.lock");
        let io = |source| StateError::Io {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(self.root()).map_err(io)?;
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Claim(file)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Err(StateError::Claimed {
                path: self.root().to_owned(),
                by: holder(&file),
            }),
            Err(errno) => Err(io(io::Error::from(errno))),
        }
    }
}

/// Whose lock it is, in words.
fn holder(file: &File) -> String {
    let lock = fcntl_getlk(file, &Flock::from(FlockType::WriteLock));
    // It may just have been given up.
    match lock.ok().flatten().and_then(|lock| lock.pid) {
        Some(pid) => format!("process {}", pid.as_raw_nonzero()),
        None => "another process".to_owned(),
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
    fn what_another_process_has_is_not_taken_before_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        drop(state.claim().unwrap());
        // Its child, which lives longer, does not keep the lock.
        let script = "import fcntl, subprocess, sys\n\
                      f = open(sys.argv[1], 'r+')\n\
                      fcntl.lockf(f, fcntl.LOCK_EX)\n\
                      subprocess.Popen(['sleep', '5'], stdout=subprocess.DEVNULL, pass_fds=[f.fileno()])\n\
                      print('locked', flush=True)\n\
                      sys.stdin.read()\n";
        let mut other = Command::new("python3")
            .args(["-c", script])
            .arg(folder.path().join("agent.lock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(other.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let refused = state.claim().unwrap_err();
        assert!(matches!(refused, StateError::Claimed { .. }));
        assert!(
            refused
                .to_string()
                .contains(&format!("process {}", other.id())),
            "{refused}"
        );
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(state.claim().is_ok());
    }
}
