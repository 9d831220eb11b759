//! `cargo xtask bench memory`: what containers cost that wait for the handler, beside one that serves and one of the
//! plain function. It measures and asserts nothing about size.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::{Place, count};
use crate::{
    error::{At as _, Error},
    scene::{ANSWER, Agent, Call, FUNCTION, HeldConnection, Project, QUESTION},
    testbed::Testbed,
};

/// What to do, and with which OpenFaaS.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Parked containers
    #[arg(long, default_value_t = 4, value_parser = count)]
    standby: usize,
    #[command(flatten)]
    place: Place,
}

/// Measures, and prints a row a container.
///
/// # Errors
/// When anything answers wrongly.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let (output, testbed, program) = options.place.prepare()?;
    let project = Project::new(&testbed, "bench-memory", &program)?;
    let measured = measure(options, &testbed, &project);
    let removed = project.remove(&[FUNCTION]);
    let rows = measured?;
    let figures: Vec<Value> = rows.iter().map(Row::to_json).collect();
    output.print(&json!({"containers": figures}), || to_text(&rows))?;
    removed
}

fn measure(options: &Options, testbed: &Testbed, project: &Project) -> Result<Vec<Row>, Error> {
    let before = containers()?;
    project.build_push_deploy(FUNCTION)?;
    Call::of(testbed, FUNCTION, QUESTION).until_answered(ANSWER)?;
    let after = containers()?;
    let mut new = after.keys().filter(|id| !before.contains_key(*id));
    let plain = new.next().ok_or_else(|| {
        Error::NotSeen("the plain function's processes: does it run on this host?".into())
    })?;
    let mut rows = vec![Row::of("plain", &after[plain])?];

    let key = project.keygen()?;
    let agent = project.start_agent(options.standby)?;
    project.seal(FUNCTION, &agent)?;
    agent.wait_until_locked(FUNCTION, options.standby)?;
    let parked = parked(&agent)?;
    for process in parked.values() {
        rows.push(Row::of("parked", &beside(process)?)?);
    }
    let holder = HeldConnection::open(testbed, FUNCTION, QUESTION, Some(&key), ANSWER)?;
    let serving = agent.function(FUNCTION)?["unlocked"].clone();
    let process = serving.as_str().and_then(|name| parked.get(name));
    let process = process.ok_or_else(|| Error::NotSeen("which container serves".into()))?;
    rows.push(Row::of("unlocked", &beside(process)?)?);
    drop(holder);
    agent.stop()?;
    Ok(rows)
}

/// The waiting processes of parked containers, by the containers' names.
fn parked(agent: &Agent) -> Result<BTreeMap<String, PathBuf>, Error> {
    let function = agent.function(FUNCTION)?;
    let parked = function["parked"].as_array().into_iter().flatten();
    Ok(parked
        .filter_map(|it| {
            Some((
                it["name"].as_str()?.to_owned(),
                process(it["pid"].as_u64()?),
            ))
        })
        .collect())
}

fn process(number: u64) -> PathBuf {
    Path::new("/proc").join(number.to_string())
}

/// The processes of the same container.
fn beside(process: &Path) -> Result<Vec<PathBuf>, Error> {
    let id = container(process).at(process)?;
    Ok(containers()?.remove(&id).unwrap_or_default())
}

/// Processes by their namespace of process numbers, of which each container has its own.
fn containers() -> Result<BTreeMap<PathBuf, Vec<PathBuf>>, Error> {
    let mut containers = BTreeMap::<_, Vec<PathBuf>>::new();
    for entry in fs::read_dir("/proc").at("/proc")? {
        let path = entry.at("/proc")?.path();
        // What has ended meanwhile, or is no process, is in none.
        if let Ok(id) = container(&path) {
            containers.entry(id).or_default().push(path);
        }
    }
    Ok(containers)
}

fn container(process: &Path) -> io::Result<PathBuf> {
    fs::read_link(process.join("ns/pid"))
}

/// What the processes of a container have of memory, in KiB (proc(5), `smaps_rollup`).
#[derive(Debug, PartialEq, Eq)]
struct Row {
    what: &'static str,
    processes: usize,
    /// Resident: what others have too is counted in full.
    resident: u64,
    /// What is shared is counted in parts.
    proportional: u64,
    /// What nobody else has.
    own: u64,
}

impl Row {
    fn of(what: &'static str, processes: &[PathBuf]) -> Result<Self, Error> {
        let mut row = Self {
            what,
            processes: processes.len(),
            resident: 0,
            proportional: 0,
            own: 0,
        };
        for process in processes {
            let path = process.join("smaps_rollup");
            row.add(&fs::read_to_string(&path).at(&path)?);
        }
        Ok(row)
    }

    fn add(&mut self, rollup: &str) {
        for line in rollup.lines() {
            let mut words = line.split_whitespace();
            let sum = match words.next() {
                Some("Rss:") => &mut self.resident,
                Some("Pss:") => &mut self.proportional,
                Some("Private_Clean:" | "Private_Dirty:") => &mut self.own,
                _ => continue,
            };
            *sum += words.next().and_then(|it| it.parse().ok()).unwrap_or(0);
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "container": self.what, "processes": self.processes, "rss_kib": self.resident,
            "pss_kib": self.proportional, "private_kib": self.own,
        })
    }
}

fn to_text(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<10}{:>10}{:>14}{:>18}{:>14}\n",
        "KiB", "processes", "resident", "shared in parts", "its own"
    );
    for row in rows {
        text += &format!(
            "{:<10}{:>10}{:>14}{:>18}{:>14}\n",
            row.what, row.processes, row.resident, row.proportional, row.own
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_memory_is_that_of_its_processes() {
        let mut row = Row::of("parked", &[]).unwrap();
        let rollup = "00400000-7fff0000 ---p 00000000 00:00 0   [rollup]\nRss:      900 kB\n\
            Pss:      500 kB\nPss_Anon: 300 kB\nPrivate_Clean: 100 kB\nPrivate_Dirty: 200 kB\n";
        row.add(rollup);
        row.add(rollup);
        assert_eq!((row.resident, row.proportional, row.own), (1800, 1000, 600));
        assert_eq!(row.to_json()["private_kib"], 600);
        assert!(to_text(&[row]).contains("1800"));
    }

    #[test]
    fn processes_of_one_container_are_found_by_one_of_them() {
        let own = process(std::process::id().into());
        assert!(beside(&own).unwrap().contains(&own));
    }
}
