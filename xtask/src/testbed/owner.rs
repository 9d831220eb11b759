//! One host has room for one testbed: ports, bridges and image names are the same for all checkouts.
//! A file says which checkout's it is, so that another neither mixes with it nor clears it away.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{layout::Layout, record::Record};
use crate::{
    error::{At as _, Error},
    files,
};

const OWNER: &str = "/run/rsfaas-testbed-owner";

/// The file that names the owner.
pub(super) struct Owner {
    file: PathBuf,
}

impl Owner {
    /// The host's.
    pub(super) fn of_host() -> Self {
        Self { file: OWNER.into() }
    }

    /// Makes this checkout the owner.
    ///
    /// # Errors
    /// When a testbed of another checkout is up.
    pub(super) fn claim(&self, layout: &Layout) -> Result<(), Error> {
        if let Some(other) = self.other(layout) {
            let other = other.display();
            let problem = format!(
                "the one of another checkout is up ({other}); `cargo xtask testbed down` there \
                 makes room"
            );
            return Err(Error::Part {
                part: "testbed",
                problem,
            });
        }
        fs::write(&self.file, layout.state().as_os_str().as_encoded_bytes()).at(&self.file)
    }

    /// The folder of another checkout's testbed that is up; `None` where there is no such.
    pub(super) fn other(&self, layout: &Layout) -> Option<PathBuf> {
        let state = PathBuf::from(fs::read_to_string(&self.file).ok()?);
        (state != layout.state() && any_runs(&state.join("run"))).then_some(state)
    }

    /// Gives the place up.
    pub(super) fn release(&self) -> Result<(), Error> {
        files::remove_file(&self.file)
    }
}

fn any_runs(records: &Path) -> bool {
    fs::read_dir(records).is_ok_and(|entries| {
        entries
            .filter_map(Result::ok)
            .filter_map(|entry| Record::read(&entry.path()))
            .any(|record| record.runs())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rig {
        _root: tempfile::TempDir,
        owner: Owner,
        first: Layout,
        second: Layout,
    }

    impl Rig {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let first = Layout::new(&root.path().join("first"));
            fs::create_dir_all(first.run()).unwrap();
            let second = Layout::new(&root.path().join("second"));
            Self {
                owner: Owner {
                    file: root.path().join("owner"),
                },
                _root: root,
                first,
                second,
            }
        }

        fn record(&self, pid: i32) {
            Record::new(pid, "one")
                .write(&self.first.run().join("gateway.json"))
                .unwrap();
        }
    }

    #[test]
    fn while_one_testbed_runs_another_is_refused_and_told_where_it_is() {
        let rig = Rig::new();
        rig.owner.claim(&rig.first).unwrap();
        rig.record(std::process::id().cast_signed());
        rig.owner.claim(&rig.first).unwrap();
        let error = rig.owner.claim(&rig.second).unwrap_err().to_string();
        assert!(error.contains("first/target/testbed"), "{error}");
    }

    #[test]
    fn a_testbed_of_which_nothing_runs_makes_room() {
        let rig = Rig::new();
        rig.owner.claim(&rig.first).unwrap();
        rig.record(i32::MAX);
        rig.owner.claim(&rig.second).unwrap();
        assert_eq!(rig.owner.other(&rig.second), None);
    }
}
