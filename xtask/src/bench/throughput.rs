//! What the gateway does under load, with the agent's programs attached and without.
//!
//! Two turns of the same scatter by some hundredths, and a process that starts or ends changes what follows: so
//! an agent is started before each turn, ends before those that are without it, and the two kinds alternate.

use std::{f64::consts::PI, fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::quantile;
use crate::{
    error::{At as _, Error},
    process::output,
    scene::Project,
    testbed::Testbed,
};

/// How long a turn is, for wrk.
const TURN: &str = "-d2s";
/// What goes before it, until caches hold what the turn needs.
const WARM_UP: &str = "-d1s";
/// Whether the kernel counts what programs take (bpf(2), `BPF_ENABLE_STATS`).
const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// What the gateway did in one turn.
#[derive(Clone, Copy)]
struct Load {
    /// Requests a second.
    rate: f64,
    /// Latency in microseconds.
    p50: f64,
    p99: f64,
}

impl Load {
    fn over(self, other: Self) -> Self {
        Self {
            rate: self.rate / other.rate,
            p50: self.p50 / other.p50,
            p99: self.p99 / other.p99,
        }
    }

    fn mean(self, other: Self) -> Self {
        let mean = f64::midpoint;
        Self {
            rate: mean(self.rate, other.rate),
            p50: mean(self.p50, other.p50),
            p99: mean(self.p99, other.p99),
        }
    }
}

/// Of each pair of turns with the agent and pair without it, the one against the other.
#[derive(Default)]
struct Ratios {
    with: Vec<Load>,
    /// The turns without it against each other: how far two measurements of the same lie apart on this machine.
    without: Vec<Load>,
}

impl Ratios {
    fn add_to(&self, figures: &mut Value) -> Result<(), Error> {
        for (ratios, suffix) in [(&self.with, ""), (&self.without, "_of_same")] {
            let of = |what: fn(&Load) -> f64, rank| {
                let ratios: Vec<f64> = ratios.iter().map(what).collect();
                quantile(&ratios, rank)
                    .ok_or_else(|| Error::NotSeen("a pair of measurements".into()))
            };
            let rate = |load: &Load| load.rate;
            figures[format!("throughput_ratio{suffix}")] = json!(of(rate, 0.5)?);
            figures[format!("throughput_error{suffix}")] = json!(error_of_median(ratios));
            figures[format!("latency_ratio{suffix}")] =
                json!({"p50": of(|load| load.p50, 0.5)?, "p99": of(|load| load.p99, 0.5)?});
        }
        Ok(())
    }
}

/// Standard error of the median of rates: that of the mean, and a quarter more (for what is spread as chance does it).
fn error_of_median(loads: &[Load]) -> f64 {
    let count = loads.len() as f64;
    let mean = loads.iter().map(|load| load.rate).sum::<f64>() / count;
    let squares = loads.iter().map(|load| (load.rate - mean).powi(2));
    let variance = squares.sum::<f64>() / (count - 1.0).max(1.0);
    (PI / 2.0).sqrt() * (variance / count).sqrt()
}

/// Adds throughput and latency with the agent against those without it, and what the programs take of a request's
/// processor time; `null` is the cost of a program that does nothing, in nanoseconds.
///
/// # Errors
/// When anything fails.
pub(super) fn add_to(
    figures: &mut Value,
    (pairs, null): (usize, f64),
    testbed: &Testbed,
    program: &Path,
) -> Result<(), Error> {
    let project = Project::new(testbed, "bench-packet", program)?;
    let with = || with_agent(testbed, &project);
    let without = || without_agent(testbed, &project);
    let mut ratios = Ratios::default();
    for pair in 0..pairs {
        eprintln!("bench: gateway's throughput, {} of {pairs}", pair + 1);
        // Which comes first alternates, so that what drifts does so for both.
        let ((first, last), (early, late)) = if pair % 2 == 0 {
            let first = with()?;
            let between = (without()?, without()?);
            ((first, with()?), between)
        } else {
            let early = without()?;
            let between = (with()?, with()?);
            (between, (early, without()?))
        };
        ratios.with.push(first.mean(last).over(early.mean(late)));
        ratios.without.push(late.over(early));
    }
    ratios.add_to(figures)?;
    eprintln!("bench: the programs' part of it");
    figures["programs"] = share(testbed, &project, null)?;
    Ok(())
}

fn with_agent(testbed: &Testbed, project: &Project) -> Result<Load, Error> {
    let agent = project.start_agent(0)?;
    let load = turn(testbed);
    agent.stop()?;
    load
}

fn without_agent(testbed: &Testbed, project: &Project) -> Result<Load, Error> {
    project.start_agent(0)?.stop()?;
    turn(testbed)
}

fn turn(testbed: &Testbed) -> Result<Load, Error> {
    wrk(testbed, WARM_UP)?;
    let text = wrk(testbed, TURN)?;
    load(&text).ok_or_else(|| Error::NotSeen(format!("a load without errors in {text:?}")))
}

/// What the gateway answers by itself, so that no function's time hides the packets'.
fn wrk(testbed: &Testbed, duration: &str) -> Result<String, Error> {
    let address = format!("{}/healthz", testbed.gateway.trim_end_matches('/'));
    output(Command::new("wrk").args(["-t1", "-c16", duration, "--latency", &address]))
}

/// What wrk says; `None` where requests failed.
fn load(text: &str) -> Option<Load> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    Some(Load {
        rate: behind(text, "Requests/sec:")?.parse().ok()?,
        p50: microseconds(behind(text, "50%")?)?,
        p99: microseconds(behind(text, "99%")?)?,
    })
}

/// The rest of the line that starts so.
fn behind<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines
        .find_map(|line| line.strip_prefix(start))
        .map(str::trim)
}

/// A time as wrk prints it.
fn microseconds(text: &str) -> Option<f64> {
    [("us", 1.0), ("ms", 1e3), ("s", 1e6)]
        .into_iter()
        .find_map(|(unit, scale)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * scale))
}

/// What the programs take of a request's processor time, by the kernel's count of both. It does not scatter as
/// throughput does.
fn share(testbed: &Testbed, project: &Project, null: f64) -> Result<Value, Error> {
    let agent = project.start_agent(0)?;
    let counted = fs::read_to_string(STATS).at(STATS)?;
    fs::write(STATS, "1").at(STATS)?;
    let measured = measured(testbed, agent.pid());
    fs::write(STATS, counted.trim()).at(STATS)?;
    agent.stop()?;
    let (requests, busy, programs) = measured?;
    let own = programs.time - null * programs.runs;
    Ok(json!({
        "runs_per_request": programs.runs / requests,
        "us_per_request": own / 1e3 / requests,
        "share": own / busy,
    }))
}

/// Requests, nanoseconds of all processors, and what a process's programs have done, in one turn.
fn measured(testbed: &Testbed, pid: u32) -> Result<(f64, f64, Programs), Error> {
    wrk(testbed, WARM_UP)?;
    let (idle, programs) = (Busy::now()?, Programs::of(pid)?);
    let text = wrk(testbed, TURN)?;
    let (busy, run) = (Busy::now()?, Programs::of(pid)?);
    let line = text.lines().find(|line| line.contains(" requests in "));
    let requests = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let requests = requests.ok_or_else(|| Error::NotSeen(format!("requests in {text:?}")))?;
    let programs = Programs {
        runs: run.runs - programs.runs,
        time: run.time - programs.time,
    };
    Ok((requests, busy.0 - idle.0, programs))
}

/// Nanoseconds that processors have worked (proc_stat(5)).
struct Busy(f64);

impl Busy {
    fn now() -> Result<Self, Error> {
        const FILE: &str = "/proc/stat";
        let text = fs::read_to_string(FILE).at(FILE)?;
        let ticks = text.lines().next().and_then(ticks_of);
        // A hundred a second, on every Linux (USER_HZ).
        let busy = ticks.map(|ticks| ticks * 1e7);
        busy.map(Self)
            .ok_or_else(|| Error::NotSeen(format!("the processors' time in {FILE}")))
    }
}

/// All but idle time and the wait for disks, which are the fourth and the fifth.
fn ticks_of(line: &str) -> Option<f64> {
    let mut ticks = 0.0;
    for (index, field) in line
        .strip_prefix("cpu ")?
        .split_whitespace()
        .take(8)
        .enumerate()
    {
        if index != 3 && index != 4 {
            ticks += field.parse::<f64>().ok()?;
        }
    }
    Some(ticks)
}

/// What a process's programs have done since they were loaded, as far as it was counted.
#[derive(Default)]
struct Programs {
    runs: f64,
    /// In nanoseconds.
    time: f64,
}

impl Programs {
    fn of(pid: u32) -> Result<Self, Error> {
        let folder = format!("/proc/{pid}/fdinfo");
        let mut all = Self::default();
        for entry in fs::read_dir(&folder).at(&folder)? {
            // One that has been closed meanwhile is no program.
            let text = entry.at(&folder).map(|it| fs::read_to_string(it.path()));
            let text = text?.unwrap_or_default();
            let number = |name| behind(&text, name).and_then(|it| it.parse::<f64>().ok());
            if let (Some(runs), Some(time)) = (number("run_cnt:"), number("run_time_ns:")) {
                all.runs += runs;
                all.time += time;
            }
        }
        Ok(all)
    }
}

/// Both as people read it.
pub(super) fn to_text(figures: &Value) -> String {
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let mut text = String::new();
    for (what, suffix) in [("with the agent", ""), ("without as well", "_of_same")] {
        let of = |figure: &str| &figures[format!("{figure}{suffix}")];
        let latency = of("latency_ratio");
        text += &format!(
            "gateway's throughput {what:<15} / without: {:.3} +- {:.3}; latency p50 {:.3}, p99 {:.3}\n",
            number(of("throughput_ratio")),
            number(of("throughput_error")),
            number(&latency["p50"]),
            number(&latency["p99"]),
        );
    }
    let programs = &figures["programs"];
    text += &format!(
        "the programs run {:.1} times a request, and take {:.2} us of it: {:.2} % of the processors' time\n",
        number(&programs["runs_per_request"]),
        number(&programs["us_per_request"]),
        100.0 * number(&programs["share"]),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_counts_only_if_every_request_was_answered() {
        let said = "  Latency Distribution\n     50%  812.00us\n     99%    1.50ms\nRequests/sec:   8123.45\n";
        let seen = load(said).unwrap();
        assert_eq!((seen.rate, seen.p50, seen.p99), (8123.45, 812.0, 1500.0));
        assert!(load(&format!("  Non-2xx or 3xx responses: 3\n{said}")).is_none());
    }

    #[test]
    fn processors_work_when_they_neither_idle_nor_wait_for_disks() {
        assert_eq!(ticks_of("cpu  10 1 20 500 7 2 3 4 0 0"), Some(40.0));
        assert_eq!(ticks_of("cpu0 10 1 20 500 7 2 3 4 0 0"), None);
    }

    #[test]
    fn the_text_tells_the_ratio_beside_that_of_two_measurements_of_the_same() {
        let loads = |rates: [f64; 4]| {
            let load = |rate| Load {
                rate,
                p50: 1.0 / rate,
                p99: 2.0,
            };
            rates.map(load).to_vec()
        };
        let ratios = Ratios {
            with: loads([0.97, 0.98, 0.99, 1.01]),
            without: loads([0.98, 1.0, 1.02, 1.03]),
        };
        let mut figures = json!({"programs": {"share": 0.0071}});
        ratios.add_to(&mut figures).unwrap();
        let text = to_text(&figures);
        assert!(
            text.contains("with the agent  / without: 0.980 +- 0.011; latency p50 1.010"),
            "{text}"
        );
        assert!(text.contains("without as well / without: 1.000"), "{text}");
        assert!(text.contains("0.71 % of"), "{text}");
    }
}
