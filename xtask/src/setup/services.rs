//! Keeps packages from starting their services while they are installed: the testbed starts its own,
//! with its own settings.
//!
//! Debian asks `/usr/sbin/policy-rc.d` before it starts a service
//! (<https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt>); 101 is "forbidden".

use std::{
    fs, io,
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
}

impl NotStarted {
    /// Forbids it.
    pub(super) fn new() -> Result<Self, Error> {
        Self::at(Path::new(POLICY))
    }

    fn at(policy: &Path) -> Result<Self, Error> {
        let saved = policy.with_extension("d.rsfaas-saved");
        // Ours is there still, and the host's is put aside already, where an earlier run was killed.
        if fs::read(policy).is_ok_and(|text| text != FORBID.as_bytes()) {
            fs::rename(policy, &saved).at(policy)?;
        }
        let this = Self {
            policy: policy.to_owned(),
            saved,
        };
        fs::write(policy, FORBID).at(policy)?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755)).at(policy)?;
        Ok(this)
    }

    fn restore(&self) -> io::Result<()> {
        match fs::rename(&self.saved, &self.policy) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_file(&self.policy),
            result => result,
        }
    }
}

impl Drop for NotStarted {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
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

    fn policy(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("xtask-policy-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder.join("policy-rc.d")
    }

    #[test]
    fn a_host_without_a_policy_has_none_afterwards() {
        let policy = policy("none");
        let guard = NotStarted::at(&policy).unwrap();
        assert_eq!(fs::read_to_string(&policy).unwrap(), FORBID);
        drop(guard);
        assert!(!policy.exists());
    }

    #[test]
    fn the_hosts_own_policy_is_put_back() {
        let policy = policy("own");
        fs::write(&policy, "its own").unwrap();
        drop(NotStarted::at(&policy).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "its own");
    }

    #[test]
    fn the_hosts_own_policy_survives_a_run_that_was_killed() {
        let policy = policy("killed");
        fs::write(&policy, "its own").unwrap();
        std::mem::forget(NotStarted::at(&policy).unwrap());
        drop(NotStarted::at(&policy).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "its own");
    }
}
