//! What the programs take of a request's processor time, by the kernel's count of both. It does not scatter as
//! throughput does.

use std::{fs, ops::Sub, time::Duration};

use rsfaas_tests::bpf;
use serde_json::{Value, json};

use super::{
    behind, descriptors,
    throughput::{WARM_UP, wrk},
};
use crate::{
    error::{At as _, Error},
    scene::Project,
    testbed::Testbed,
};

/// How long is measured.
const TURN: Duration = Duration::from_secs(2);

/// What there was in a turn.
#[derive(Clone, Copy)]
struct Turn {
    requests: f64,
    /// Nanoseconds that processors have worked.
    busy: f64,
    programs: Programs,
}

/// What programs have done since they were loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Programs {
    runs: f64,
    /// In nanoseconds.
    time: f64,
}

/// Measures; `null` is the cost of a program that does nothing, in nanoseconds.
///
/// # Errors
/// When anything fails.
pub(super) fn of_programs(testbed: &Testbed, project: &Project, null: f64) -> Result<Value, Error> {
    eprintln!("bench: the programs' part of a request");
    let agent = project.start_agent(0)?;
    let turn = Turn::measure(testbed, agent.pid());
    agent.stop()?;
    let turn = turn?;
    if turn.programs.runs == 0.0 {
        return Err(Error::NotSeen("a run of the programs".into()));
    }
    Ok(turn.to_json(null))
}

impl Turn {
    fn measure(testbed: &Testbed, agent: u32) -> Result<Self, Error> {
        let _counted = bpf::count_runs().at("bpf(BPF_ENABLE_STATS)")?;
        wrk(testbed, WARM_UP)?;
        let (idle, programs) = (busy()?, Programs::of(agent)?);
        let text = wrk(testbed, TURN)?;
        let (busy, run) = (busy()?, Programs::of(agent)?);
        Ok(Self {
            requests: requests(&text)
                .ok_or_else(|| Error::NotSeen(format!("requests in {text:?}")))?,
            busy: busy - idle,
            programs: run - programs,
        })
    }

    fn to_json(self, null: f64) -> Value {
        let Programs { runs, time } = self.programs;
        let own = time - null * runs;
        json!({
            "runs_per_request": runs / self.requests,
            "us_per_request": own / 1e3 / self.requests,
            "share": own / self.busy,
        })
    }
}

impl Programs {
    /// A process's.
    fn of(process: u32) -> Result<Self, Error> {
        let mut all = Self::default();
        for text in descriptors(process)? {
            let Self { runs, time } = Self::parse(&text).unwrap_or_default();
            all.runs += runs;
            all.time += time;
        }
        Ok(all)
    }

    /// What a descriptor's text in `/proc` tells, where it is a program's.
    fn parse(text: &str) -> Option<Self> {
        let number = |name| behind(text, name)?.parse().ok();
        Some(Self {
            runs: number("run_cnt:")?,
            time: number("run_time_ns:")?,
        })
    }
}

impl Sub for Programs {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            runs: self.runs - earlier.runs,
            time: self.time - earlier.time,
        }
    }
}

/// How many requests wrk says that it has made.
fn requests(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Nanoseconds that all processors have worked so far (proc_stat(5)).
fn busy() -> Result<f64, Error> {
    const FILE: &str = "/proc/stat";
    let text = fs::read_to_string(FILE).at(FILE)?;
    let ticks = text.lines().next().and_then(ticks);
    // A hundred a second, on every Linux (USER_HZ).
    let busy = ticks.map(|ticks| ticks * 1e7);
    busy.ok_or_else(|| Error::NotSeen(format!("the processors' time in {FILE}")))
}

/// All but idle time and the wait for disks, which are the fourth and the fifth; the eighth and those behind it are other
/// machines' or counted already.
fn ticks(line: &str) -> Option<f64> {
    let mut ticks = 0.0;
    let fields = line.strip_prefix("cpu ")?.split_whitespace().take(7);
    for (index, field) in fields.enumerate() {
        if index != 3 && index != 4 {
            ticks += field.parse::<f64>().ok()?;
        }
    }
    Some(ticks)
}

/// As people read it.
pub(super) fn to_text(figures: &Value) -> String {
    let number = |name: &str| figures[name].as_f64().unwrap_or_default();
    format!(
        "the programs run {:.1} times a request, and take {:.2} us of it: {:.2} % of the processors' time\n",
        number("runs_per_request"),
        number("us_per_request"),
        100.0 * number("share"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_work_when_they_neither_idle_nor_wait_for_disks_nor_are_taken_away() {
        assert_eq!(ticks("cpu  10 1 20 500 7 2 3 4 0 0"), Some(36.0));
        assert_eq!(ticks("cpu0 10 1 20 500 7 2 3 4 0 0"), None);
    }

    #[test]
    fn a_descriptor_tells_of_a_program() {
        let text = "pos:\t0\nprog_id:\t7\nrun_time_ns:\t900\nrun_cnt:\t3\nrecursion_misses:\t0\n";
        let (runs, time) = (3.0, 900.0);
        assert_eq!(Programs::parse(text), Some(Programs { runs, time }));
        assert_eq!(Programs::parse("pos:\t0\nflags:\t02\n"), None);
    }

    #[test]
    fn what_the_counting_costs_is_not_the_programs() {
        let requests = requests("  Latency\n  50 requests in 2.00s, 6.12MB read\n").unwrap();
        let turn = Turn {
            requests,
            busy: 1e6,
            programs: Programs {
                runs: 400.0,
                time: 30_000.0,
            },
        };
        let figures = turn.to_json(50.0);
        assert_eq!(figures["share"], 0.01);
        let text = to_text(&figures);
        assert!(
            text.starts_with(
                "the programs run 8.0 times a request, and take 0.20 us of it: 1.00 %"
            ),
            "{text}"
        );
    }
}
