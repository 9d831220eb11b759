//! A faas-cli of the agent's that does as it is told.
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::host::Error;

/// A faas-cli that does as a file beside it says: it fails, hangs, or waits until it says something else.
pub(crate) struct FaasCli(tempfile::TempDir);

impl FaasCli {
    pub(crate) fn new(folder: &Path) -> Result<Self, Error> {
        let folder = tempfile::tempdir_in(folder)?;
        let mood = folder.path().join("mood");
        let script = format!(
            "#!/bin/sh\ncase $(cat {mood:?} 2>/dev/null) in\nfail) echo broken >&2; exit 1 ;;\n\
             hang) exec sleep 60 ;;\nwait) while [ \"$(cat {mood:?})\" = wait ]; do sleep 0.02; done ;;\n\
             esac\nexec faas-cli \"$@\"\n"
        );
        let program = Self(folder);
        fs::write(program.path(), script)?;
        fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755))?;
        Ok(program)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("faas-cli")
    }

    pub(crate) fn setting(&self) -> String {
        format!("faas_cli = {:?}", self.path())
    }

    pub(crate) fn set(&self, mood: &str) -> Result<(), Error> {
        Ok(fs::write(self.0.path().join("mood"), mood)?)
    }
}
