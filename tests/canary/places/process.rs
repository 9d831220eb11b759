//! The processes of this kernel, and those among them that are meant.
use std::{collections::BTreeMap, fs, io, path::Path};

use nix::libc;

use crate::canary::Unsearchable;

/// What starts containers, and outlives who asked for them.
const SHIM: &str = "containerd-shim";

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    parent: u32,
    /// Name of its program's file; empty for the kernel's own threads.
    pub(super) program: String,
}

impl Process {
    fn is_one_of(&self, programs: &[&str]) -> bool {
        programs.iter().any(|name| self.program.starts_with(name))
    }
}

/// Which processes are meant. Never this one.
#[derive(Debug, Clone)]
pub enum Select {
    /// One, and all that it has started.
    Tree(u32),
    /// Those whose program's name starts with one of these.
    Programs(&'static [&'static str]),
    /// Those in containers, but for these programs.
    Containers(&'static [&'static str]),
}

impl Select {
    pub(super) fn from(&self, all: &[Process]) -> Vec<Process> {
        let parents: BTreeMap<u32, u32> = all
            .iter()
            .map(|process| (process.pid, process.parent))
            .collect();
        let shims: Vec<u32> = all
            .iter()
            .filter(|process| process.program.starts_with(SHIM))
            .map(|process| process.pid)
            .collect();
        others(all)
            .filter(|process| !process.program.is_empty())
            .filter(|process| match self {
                Self::Tree(root) => descends(&parents, process.pid, &[*root]),
                Self::Programs(names) => process.is_one_of(names),
                Self::Containers(but) => {
                    !process.program.starts_with(SHIM)
                        && !process.is_one_of(but)
                        && descends(&parents, process.pid, &shims)
                }
            })
            .cloned()
            .collect()
    }
}

/// All but this one. A child of the same program is taken for one that has not begun its own: it is this one still.
pub(super) fn others(all: &[Process]) -> impl Iterator<Item = &Process> {
    let own = std::process::id();
    let program = all.iter().find(|process| process.pid == own);
    let program = program.map(|process| process.program.as_str());
    all.iter().filter(move |process| {
        let is_child = process.parent == own && Some(process.program.as_str()) == program;
        process.pid != own && !is_child
    })
}

fn descends(parents: &BTreeMap<u32, u32>, pid: u32, from: &[u32]) -> bool {
    let mut next = Some(pid);
    // A number may have become another's while the list was made: no chain is longer than the list.
    for _ in 0..=parents.len() {
        match next {
            Some(pid) if from.contains(&pid) => return true,
            Some(pid) if pid > 1 => next = parents.get(&pid).copied(),
            _ => return false,
        }
    }
    false
}

/// All that run now.
pub(super) fn all() -> Result<Vec<Process>, Unsearchable> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").map_err(Unsearchable::at("/proc"))? {
        let name = entry.map_err(Unsearchable::at("/proc"))?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let folder = Path::new("/proc").join(name);
        // One that has just ended needs no search.
        if let Ok(stat) = fs::read_to_string(folder.join("stat"))
            && let Some((comm, parent)) = parse(&stat)
        {
            let program = program(&folder).unwrap_or_else(|| comm.to_owned());
            all.push(Process {
                pid,
                parent,
                program,
            });
        }
    }
    Ok(all)
}

/// A process's name for itself and its parent, in the text of `/proc/PID/stat` (proc_pid_stat(5)).
fn parse(stat: &str) -> Option<(&str, u32)> {
    // The name, in parentheses, may itself hold spaces and parentheses.
    let (name, fields) = stat.rsplit_once(") ")?;
    let (_, name) = name.split_once('(')?;
    Some((name, fields.split(' ').nth(1)?.parse().ok()?))
}

/// Name of a process's program, empty where it has none; `None` where nobody may know.
fn program(folder: &Path) -> Option<String> {
    match fs::read_link(folder.join("exe")) {
        Ok(path) => Some(name(&path)),
        // A thread of the kernel's, or a process that has just ended.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(String::new()),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Some(String::new()),
        Err(_) => None,
    }
}

/// Whether a process has ended: what it had is gone. (Root may not look at some sandboxes' first process, which is
/// in no container of ours.)
pub(super) fn is_over(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ESRCH | libc::EACCES)
    )
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // So the kernel marks a program whose file was replaced.
    name.trim_end_matches(" (deleted)").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32, program: &str) -> Process {
        let program = program.into();
        Process {
            pid,
            parent,
            program,
        }
    }

    fn pids(select: &Select, all: &[Process]) -> Vec<u32> {
        select.from(all).iter().map(|process| process.pid).collect()
    }

    #[test]
    fn a_tree_is_a_process_and_all_that_it_has_started() {
        let all = [
            process(1, 0, "init"),
            process(5, 1, "rsfaas"),
            process(6, 5, "sh"),
            process(7, 6, "faas-cli"),
            process(8, 1, "other"),
        ];
        assert_eq!(pids(&Select::Tree(5), &all), [5, 6, 7]);
    }

    #[test]
    fn this_process_is_none_of_them_and_a_child_only_once_it_has_a_program_of_its_own() {
        let own = std::process::id();
        let all = [
            process(own, 1, "canary"),
            process(own + 1, own, "canary"),
            process(own + 2, own, "sh"),
            process(own + 3, own + 2, "canary"),
        ];
        assert_eq!(pids(&Select::Tree(own), &all), [own + 2, own + 3]);
    }

    #[test]
    fn what_runs_below_a_shim_is_in_a_container() {
        let all = [
            process(2, 0, ""),
            process(5, 1, "containerd-shim-runc-v2"),
            process(6, 5, "fwatchdog"),
            process(7, 6, "python3.11"),
            process(8, 5, "gateway"),
            process(9, 1, "containerd"),
        ];
        assert_eq!(pids(&Select::Containers(&["gateway"]), &all), [6, 7]);
        assert_eq!(pids(&Select::Programs(&["containerd"]), &all), [5, 9]);
    }

    #[test]
    fn a_program_whose_file_was_replaced_keeps_its_name() {
        assert_eq!(name(Path::new("/usr/bin/dockerd (deleted)")), "dockerd");
    }

    #[test]
    fn an_odd_name_and_the_parent_behind_it_are_read() {
        assert_eq!(parse("7 (a) b (c) S 42 7 7 0"), Some(("a) b (c", 42)));
    }
}
