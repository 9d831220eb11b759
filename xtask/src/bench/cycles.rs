//! `cargo xtask bench cycles`: one unlock and lock after the other, and what the host and the agent hold of each
//! kind before, in between and afterwards. What stays behind is an error, and so is memory that grows with the cycles.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};

use super::{Place, count};
use crate::{
    error::{At as _, Error},
    process::output,
    scene::{ANSWER, Agent, FUNCTION, HeldConnection, Project, QUESTION},
    testbed::Testbed,
};

/// Parked containers: the next one is parked while the last one is removed.
const STANDBY: usize = 4;
/// Cycles before the first count: caches and pools fill.
const WARM_UP: usize = 20;
/// Counts in between.
const COUNTS: usize = 4;
/// By how much the agent's memory may be larger in the end than after the first of these, in KiB: what an allocator keeps
/// varies by less. By then every buffer has been in use.
const GROWTH: u64 = 4096;
/// How long nothing must change: tokio keeps a thread that has nothing to do for ten seconds.
const QUIET: Duration = Duration::from_secs(12);
/// For hangs only: how long what is being removed may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to do, and with which OpenFaaS.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Unlocks, each with its lock
    #[arg(long, default_value_t = 2000, value_parser = count)]
    cycles: usize,
    #[command(flatten)]
    place: Place,
}

/// Counts, unlocks and locks, counts again, and prints a table.
///
/// # Errors
/// When anything answers wrongly, or something is left.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let (output, testbed, program) = options.place.prepare()?;
    let project = Project::new(&testbed, "bench-cycles", &program)?;
    let counted = count_cycles(options, &testbed, &project);
    let removed = project.remove(&[FUNCTION]);
    let counts = counted?;
    let figures = to_json(&counts);
    output.print(&figures, || to_text(&counts))?;
    removed?;
    judge(&counts)
}

/// Nothing stays behind, and the memory does not grow.
fn judge(counts: &[Count]) -> Result<(), Error> {
    let left = left(counts);
    if !left.is_empty() {
        return Err(Error::NotSeen(format!(
            "as much as at the start of: {}",
            left.join(", ")
        )));
    }
    match growth(counts) {
        growth if growth > GROWTH => Err(Error::NotSeen(format!(
            "an agent whose memory stays: it has {growth} KiB more than after the first count in between, and \
             {GROWTH} KiB are what may vary"
        ))),
        _ => Ok(()),
    }
}

/// How many cycles there were, and how much there is of each kind.
struct Count {
    cycles: usize,
    of: BTreeMap<&'static str, u64>,
    /// The agent's resident memory, in KiB.
    memory: u64,
}

fn count_cycles(
    options: &Options,
    testbed: &Testbed,
    project: &Project,
) -> Result<Vec<Count>, Error> {
    project.build_push_deploy(FUNCTION)?;
    let key = project.keygen()?;
    let agent = project.start_agent(STANDBY)?;
    project.seal(FUNCTION, &agent)?;
    let census = Census {
        testbed,
        agent: &agent,
        project,
    };
    let cycle = |number: usize| {
        let call = || HeldConnection::open(testbed, FUNCTION, QUESTION, Some(&key), ANSWER);
        project.reencrypted_after(FUNCTION, || call().map(drop))?;
        if number.is_multiple_of(100) {
            eprintln!("bench: {number} cycles");
        }
        Ok::<_, Error>(())
    };
    agent.wait_until_locked(FUNCTION, STANDBY)?;
    (1..=WARM_UP).try_for_each(|_| cycle(1))?;
    let mut counts = vec![census.when_quiet(0)?];
    for number in 1..=options.cycles {
        cycle(number)?;
        if number.is_multiple_of(options.cycles.div_ceil(COUNTS)) || number == options.cycles {
            counts.push(census.when_quiet(number)?);
        }
    }
    agent.stop()?;
    Ok(counts)
}

/// Who counts.
struct Census<'a> {
    testbed: &'a Testbed,
    agent: &'a Agent,
    project: &'a Project,
}

impl Census<'_> {
    /// Counts once nothing changes any more.
    fn when_quiet(&self, cycles: usize) -> Result<Count, Error> {
        self.agent.wait_until_locked(FUNCTION, STANDBY)?;
        let start = Instant::now();
        let mut before = self.count()?;
        loop {
            thread::sleep(QUIET);
            let of = self.count()?;
            if of == before || start.elapsed() > PATIENCE {
                let memory = memory(self.agent.pid())?;
                return Ok(Count { cycles, of, memory });
            }
            before = of;
        }
    }

    fn count(&self) -> Result<BTreeMap<&'static str, u64>, Error> {
        let process = format!("/proc/{}", self.agent.pid());
        let process = Path::new(&process);
        let lines = |command: &mut Command| Ok::<_, Error>(output(command)?.lines().count() as u64);
        let mut counts = BTreeMap::from([
            ("agent's open files", entries(&process.join("fd"))?),
            ("agent's threads", entries(&process.join("task"))?),
            ("agent's BPF objects", bpf_objects(&process.join("fdinfo"))?),
            ("network interfaces", entries(Path::new("/sys/class/net"))?),
            ("mounts", mounts()?),
            (
                "gateway's functions",
                lines(self.project.faas().args(["list", "--quiet"]))?,
            ),
        ]);
        // Another OpenFaaS may have another engine.
        for (what, arguments) in [
            ("containers", ["container", "ls", "--all", "--quiet"]),
            ("images", ["image", "ls", "--all", "--quiet"]),
        ] {
            let mut docker = Command::new("docker");
            self.testbed.lend(&mut docker);
            if let Ok(count) = lines(docker.args(arguments)) {
                counts.insert(what, count);
            }
        }
        Ok(counts)
    }
}

fn entries(folder: &Path) -> Result<u64, Error> {
    Ok(fs::read_dir(folder).at(folder)?.count() as u64)
}

fn mounts() -> Result<u64, Error> {
    let path = Path::new("/proc/self/mountinfo");
    Ok(fs::read_to_string(path).at(path)?.lines().count() as u64)
}

/// Maps, programs and links that a process holds: the kernel tells each one's number with the file.
fn bpf_objects(folder: &Path) -> Result<u64, Error> {
    let mut count = 0;
    for entry in fs::read_dir(folder).at(folder)? {
        // One that was closed meanwhile is none.
        let text = fs::read_to_string(entry.at(folder)?.path()).unwrap_or_default();
        let is_one = |line: &str| {
            ["map_id:", "prog_id:", "link_id:"]
                .iter()
                .any(|field| line.starts_with(field))
        };
        count += u64::from(text.lines().any(is_one));
    }
    Ok(count)
}

fn memory(pid: u32) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).at(Path::new(&path))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
        .ok_or_else(|| Error::NotSeen(format!("the memory of process {pid}")))
}

/// The kinds of which there is another number in the end.
fn left(counts: &[Count]) -> Vec<&'static str> {
    let (Some(first), Some(last)) = (counts.first(), counts.last()) else {
        return Vec::new();
    };
    let differs = |(what, count): &(&&'static str, &u64)| last.of.get(**what) != Some(*count);
    first
        .of
        .iter()
        .filter(differs)
        .map(|(what, _)| *what)
        .collect()
}

/// By how much the agent's memory has grown since the first count after the start, in KiB.
fn growth(counts: &[Count]) -> u64 {
    let (Some(first), Some(last)) = (counts.get(1), counts.last()) else {
        return 0;
    };
    last.memory.saturating_sub(first.memory)
}

fn to_json(counts: &[Count]) -> Value {
    let rows: Vec<Value> = counts
        .iter()
        .map(|count| json!({"cycles": count.cycles, "counts": count.of, "agent_rss_kib": count.memory}))
        .collect();
    json!({"rows": rows, "left": left(counts), "agent_growth_kib": growth(counts)})
}

fn to_text(counts: &[Count]) -> String {
    let row = |what: &str, value: &dyn Fn(&Count) -> u64| {
        let mut text = format!("{what:<22}");
        for count in counts {
            text += &format!("{:>9}", value(count));
        }
        text + "\n"
    };
    let mut text = row("after cycles", &|count| count.cycles as u64);
    let kinds = counts.first().into_iter().flat_map(|count| count.of.keys());
    for what in kinds {
        text += &row(what, &|count| count.of.get(what).copied().unwrap_or(0));
    }
    text + &row("agent's memory, KiB", &|count| count.memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(last: u64) -> Vec<Count> {
        let count = |cycles, images| Count {
            cycles,
            of: BTreeMap::from([("images", images), ("mounts", 30)]),
            memory: 2048,
        };
        vec![count(0, 7), count(2000, last)]
    }

    #[test]
    fn what_there_is_more_of_in_the_end_is_left() {
        assert!(left(&counts(7)).is_empty());
        assert_eq!(left(&counts(8)), ["images"]);
    }

    #[test]
    fn memory_that_grows_after_the_first_quarter_is_an_error_and_what_was_taken_before_is_none() {
        let mut grown: Vec<_> = [2048, 20_000, 20_500, 20_000, 20_000 + GROWTH]
            .into_iter()
            .map(|memory| Count {
                memory,
                ..counts(7).remove(0)
            })
            .collect();
        judge(&grown).unwrap();
        grown[4].memory += 1;
        let error = judge(&grown).unwrap_err().to_string();
        assert!(error.contains("4097 KiB more"), "{error}");
        judge(&grown[..2]).unwrap();
    }

    #[test]
    fn the_table_has_a_row_a_kind_and_a_column_a_count() {
        let text = to_text(&counts(8));
        assert!(
            text.contains("images                        7        8\n"),
            "{text}"
        );
        assert!(
            text.contains("agent's memory, KiB        2048     2048\n"),
            "{text}"
        );
    }
}
