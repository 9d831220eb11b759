//! Keeps a container's memory out of swap, by the settings of its control group: no provider has to know.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::process::Process;

const MOUNTS: &str = "/proc/self/mountinfo";

/// Why a container's memory may be swapped.
#[derive(Debug, thiserror::Error)]
pub(super) enum SwapError {
    /// Its group is not to be seen from here, or has no say in memory.
    #[error("its control group has no settings for memory within reach")]
    NoGroup,
    /// The group's setting could not be made.
    #[error("{path}: {source}")]
    Setting {
        /// The setting.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Keeps the memory of a process's container from being swapped from now on.
pub(super) fn keep_out(process: &Process) -> Result<(), SwapError> {
    let failed = |path: &str| {
        let path = path.into();
        move |source| SwapError::Setting { path, source }
    };
    let groups = process.read("cgroup").map_err(failed("cgroup"))?;
    let mounts = fs::read_to_string(MOUNTS).map_err(failed(MOUNTS))?;
    let setting = setting(&String::from_utf8_lossy(&groups), &mounts).ok_or(SwapError::NoGroup)?;
    fs::write(&setting, "0").map_err(|source| SwapError::Setting {
        path: setting,
        source,
    })
}

/// The setting that is to be zero: of version 2 how much may be swapped, of version 1, which is a little weaker,
/// how gladly (cgroups(7)).
fn setting(groups: &str, mounts: &str) -> Option<PathBuf> {
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    for line in groups.lines() {
        // Hierarchy, controllers, path; the one of version 2 is numbered 0 and names no controllers.
        let mut fields = line.splitn(3, ':');
        let (number, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
        let (mount, name) = if number == "0" {
            let mount = mounts.iter().find(|mount| mount.kind == "cgroup2");
            (mount, "memory.swap.max")
        } else if controllers
            .split(',')
            .any(|controller| controller == "memory")
        {
            let mount = mounts.iter().find(|mount| {
                mount.kind == "cgroup" && mount.options.split(',').any(|it| it == "memory")
            });
            (mount, "memory.swappiness")
        } else {
            continue;
        };
        // A hierarchy without that controller has no such setting, and neither has its root.
        let path = mount.and_then(|mount| Some(mount.folder(group)?.join(name)));
        if let Some(path) = path.filter(|path| path.exists()) {
            return Some(path);
        }
    }
    None
}

/// A mounted hierarchy of control groups, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
struct Mount<'a> {
    /// What of the hierarchy is mounted.
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (first, last) = line.split_once(" - ")?;
        let mut first = first.split(' ').skip(3);
        let (root, point) = (first.next()?, first.next()?);
        let mut last = last.split(' ');
        let (kind, options) = (last.next()?, last.nth(1)?);
        Some(Self {
            root,
            point,
            kind,
            options,
        })
    }

    /// A group's folder; `None` where it lies outside of what is mounted.
    fn folder(&self, group: &str) -> Option<PathBuf> {
        let within = Path::new(group).strip_prefix(self.root).ok()?;
        let is_below = !within
            .components()
            .any(|part| part == std::path::Component::ParentDir);
        is_below.then(|| Path::new(self.point).join(within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hierarchy with one group in it that has a setting.
    fn hierarchy(name: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker/abc").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "max").unwrap();
        (folder, path)
    }

    #[test]
    fn a_group_of_version_2_has_a_limit() {
        let (folder, path) = hierarchy("memory.swap.max");
        let point = folder.path().display();
        let mounts = format!("41 31 0:38 / {point} rw - cgroup2 cgroup2 rw\n");
        assert_eq!(setting("0::/docker/abc\n", &mounts), Some(path));
    }

    #[test]
    fn a_group_of_version_1_has_its_swappiness_also_beside_version_2() {
        let (folder, path) = hierarchy("memory.swappiness");
        let point = folder.path().display();
        let mounts = format!(
            "33 31 0:30 / /nowhere rw - cgroup cgroup rw,cpuset\n\
             35 31 0:32 / {point} rw - cgroup cgroup rw,memory\n\
             41 31 0:38 / /nowhere rw - cgroup2 cgroup2 rw\n"
        );
        let groups = "0::/docker/abc\n5:devices:/docker/abc\n4:memory:/docker/abc\n";
        assert_eq!(setting(groups, &mounts), Some(path));
    }

    #[test]
    fn a_group_outside_of_what_is_mounted_is_not_touched() {
        let (folder, _) = hierarchy("memory.swap.max");
        let point = folder.path().display();
        let mounts = format!("41 31 0:38 /ours {point} rw - cgroup2 cgroup2 rw\n");
        assert_eq!(setting("0::/docker/abc\n", &mounts), None);
        let mounts = format!("41 31 0:38 / {point} rw - cgroup2 cgroup2 rw\n");
        assert_eq!(setting("0::/../docker/abc\n", &mounts), None);
    }
}
