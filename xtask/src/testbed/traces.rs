//! What a testbed leaves on its host while it is there, known by the names that its parts have; for the check that
//! nothing of it is left.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{engine, host, layout::Layout, netfilter};
use crate::{
    error::{At as _, Error},
    process, workspace,
};

/// Everything that is there, each in words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces(BTreeSet<String>);

impl Traces {
    /// Looks for interfaces, mounts, rules of the firewall, processes and files.
    ///
    /// # Errors
    /// When the host does not say what it has.
    pub(crate) fn look() -> Result<Self, Error> {
        let layout = Layout::new(&workspace::root());
        let folders = [layout.state(), Path::new(engine::RUN)];
        let interfaces = host::interfaces()?;
        let rules = process::output(&mut Command::new(process::installed("iptables-save")?))?;
        let mounts = fs::read_to_string(host::MOUNTS).at(host::MOUNTS)?;
        let points = folders
            .iter()
            .flat_map(|folder| host::mount_points(&mounts, folder));
        let files = host::files().into_iter().chain(unkept(&layout)?);
        let all = interfaces
            .iter()
            .map(|name| format!("interface {name}"))
            .chain(netfilter::of_docker(&rules).map(|rule| format!("firewall {rule}")))
            .chain(points.map(|point| format!("mount {}", point.display())))
            .chain(processes(&folders)?)
            .chain(
                files
                    .filter(|file| file.exists())
                    .map(|file| format!("file {}", file.display())),
            );
        Ok(Self(all.collect()))
    }

    /// What was not there at an earlier look.
    pub(crate) fn since<'a>(&'a self, earlier: &'a Self) -> Vec<&'a str> {
        self.0.difference(&earlier.0).map(String::as_str).collect()
    }
}

/// What of the testbed's folder does not stay over `down`, and the folder for sockets.
fn unkept(layout: &Layout) -> Result<Vec<PathBuf>, Error> {
    let kept = [layout.bin(), layout.cache(), layout.logs()];
    let state = layout.state();
    let entries = match fs::read_dir(state) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(vec![engine::RUN.into()]);
        }
        entries => entries.at(state)?,
    };
    let mut unkept = vec![PathBuf::from(engine::RUN)];
    for entry in entries {
        unkept.push(entry.at(state)?.path());
    }
    unkept.retain(|path| !kept.contains(path));
    Ok(unkept)
}

/// Processes that were started with a path in one of the folders.
fn processes(folders: &[&Path]) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").at("/proc")? {
        let path = entry.at("/proc")?.path();
        // It may have ended meanwhile; what is none has no such file.
        let Ok(line) = fs::read(path.join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let names = |folder: &&Path| line.contains(&*folder.to_string_lossy());
        if folders.iter().any(names) {
            found.push(format!("process {}", line.trim_end()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, process::Stdio};

    use super::*;

    #[test]
    fn a_process_is_known_by_a_path_that_it_was_started_with() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let mut child = Command::new("sh")
            .args(["-c", "echo started; read -r _", "holder"])
            .arg(&socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 8];
        child.stdout.take().unwrap().read_exact(&mut said).unwrap();
        let seen = processes(&[folder.path()]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert!(seen[0].starts_with("process sh -c"), "{seen:?}");
        assert!(processes(&[folder.path()]).unwrap().is_empty());
    }

    #[test]
    fn only_what_came_since_is_told() {
        let look = |names: &[&str]| Traces(names.iter().map(|name| (*name).to_owned()).collect());
        let earlier = look(&["interface docker0", "mount /a"]);
        let later = look(&["interface docker0", "process dockerd"]);
        assert_eq!(later.since(&earlier), ["process dockerd"]);
    }
}
