//! Keeps packages from starting their services while they are installed: the testbed starts its own,
//! with its own settings.
//!
//! Debian asks `/usr/sbin/policy-rc.d` before it starts a service
//! (<https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt>); 101 is "forbidden".

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::error::{At as _, Error};

const POLICY: &str = "/usr/sbin/policy-rc.d";
const FORBID: &str =
    "#!/bin/sh\n# Put here by `cargo xtask setup` while it installs packages.\nexit 101\n";

/// While it lives, no service is started; dropping it puts back what was there.
pub(super) struct NotStarted {
    policy: PathBuf,
    saved: PathBuf,
    /// The policy, locked as long as whoever has put it there is at work.
    _lock: File,
}

impl NotStarted {
    /// Forbids it.
    pub(super) fn new() -> Result<Self, Error> {
        Self::at(Path::new(POLICY))
    }

    fn at(policy: &Path) -> Result<Self, Error> {
        let saved = saved(policy);
        // Ours is there still, and the host's is put aside already, where an earlier run was killed.
        if fs::read(policy).is_ok_and(|text| text != FORBID.as_bytes()) {
            fs::rename(policy, &saved).at(policy)?;
        }
        fs::write(policy, FORBID).at(policy)?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755)).at(policy)?;
        let lock = lock(policy)?.ok_or_else(|| {
            Error::Needs("another `cargo xtask setup` installs packages; wait for its end".into())
        })?;
        Ok(Self {
            policy: policy.to_owned(),
            saved,
            _lock: lock,
        })
    }
}

/// Locks a policy; `None` where whoever has put it there is at work. Not opened for writing: the kernel executes no
/// file that is (`ETXTBSY`).
fn lock(policy: &Path) -> Result<Option<File>, Error> {
    let file = File::open(policy).at(policy)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).at(policy),
    }
}

/// Puts back what was there before a set-up that was killed.
pub(super) fn recover() -> Result<(), Error> {
    recover_at(Path::new(POLICY))
}

fn recover_at(policy: &Path) -> Result<(), Error> {
    if fs::read(policy).ok().as_deref() != Some(FORBID.as_bytes()) {
        return Ok(());
    }
    let Some(_lock) = lock(policy)? else {
        return Ok(());
    };
    restore(policy, &saved(policy)).map_err(|error| {
        Error::Needs(format!(
            "{} forbids that services are started, has been left by a set-up that was killed, and cannot be \
             removed: {error}; `cargo xtask setup` as root does so",
            policy.display()
        ))
    })?;
    println!(
        "set-up: {} of a set-up that was killed is removed: services may be started again",
        policy.display()
    );
    Ok(())
}

fn saved(policy: &Path) -> PathBuf {
    policy.with_extension("d.rsfaas-saved")
}

fn restore(policy: &Path, saved: &Path) -> io::Result<()> {
    match fs::rename(saved, policy) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_file(policy),
        result => result,
    }
}

impl Drop for NotStarted {
    fn drop(&mut self) {
        if let Err(error) = restore(&self.policy, &self.saved) {
            eprintln!(
                "warning: {} could not be put back as it was: {error}",
                self.policy.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a host has its policy, and the folder that it is in.
    fn policy() -> (PathBuf, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (folder.path().join("policy-rc.d"), folder)
    }

    #[test]
    fn a_host_without_a_policy_has_none_afterwards() {
        let (policy, _folder) = policy();
        let guard = NotStarted::at(&policy).unwrap();
        assert_eq!(fs::read_to_string(&policy).unwrap(), FORBID);
        drop(guard);
        assert!(!policy.exists());
    }

    #[test]
    fn the_hosts_own_policy_is_put_back() {
        let (policy, _folder) = policy();
        fs::write(&policy, "its own").unwrap();
        drop(NotStarted::at(&policy).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "its own");
    }

    #[test]
    fn the_hosts_own_policy_survives_a_run_that_was_killed() {
        let (policy, _folder) = policy();
        fs::write(&policy, "its own").unwrap();
        fs::rename(&policy, saved(&policy)).unwrap();
        fs::write(&policy, FORBID).unwrap();
        drop(NotStarted::at(&policy).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "its own");
    }

    #[test]
    fn a_policy_that_a_killed_run_has_left_goes_at_the_next_start_and_the_hosts_own_returns() {
        let (policy, _folder) = policy();
        fs::write(&policy, FORBID).unwrap();
        recover_at(&policy).unwrap();
        assert!(!policy.exists());
        fs::write(&policy, FORBID).unwrap();
        fs::write(saved(&policy), "its own").unwrap();
        recover_at(&policy).unwrap();
        assert_eq!(fs::read_to_string(&policy).unwrap(), "its own");
        recover_at(&policy).unwrap();
        assert!(policy.exists(), "the host's own is nobody else's");
    }

    #[test]
    fn the_policy_of_a_run_at_work_stays() {
        let (policy, _folder) = policy();
        let guard = NotStarted::at(&policy).unwrap();
        recover_at(&policy).unwrap();
        assert!(policy.exists());
        assert!(NotStarted::at(&policy).is_err());
        drop(guard);
        assert!(!policy.exists());
    }
}
