//! `cargo xtask bench pool`: many unlocks back to back, by several callers at once, beside a single one for which
//! a container has to be deployed. It measures and asserts nothing about speed.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use clap::Args;
use serde_json::{Value, json};

use super::{Place, count, quantile};
use crate::{
    error::Error,
    scene::{ANSWER, FUNCTION, HeldConnection, Project, QUESTION},
    testbed::Testbed,
};

/// What to do, and with which OpenFaaS.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Calls of each kind in all: as many alone as by several callers, since the slowest of more is slower
    #[arg(long, default_value_t = 200, value_parser = count)]
    runs: usize,
    /// Callers at a time
    #[arg(long, default_value_t = 4, value_parser = count)]
    callers: usize,
    /// Parked containers
    #[arg(long, default_value_t = 4)]
    standby: usize,
    #[command(flatten)]
    place: Place,
}

/// Measures, and prints milliseconds of calls, each on a connection of its own.
///
/// # Errors
/// When anything answers wrongly.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let (output, testbed, program) = options.place.prepare()?;
    let project = Project::new(&testbed, "bench-pool", &program)?;
    let measured = measure(options, &testbed, &project);
    let removed = project.remove(&[FUNCTION]);
    let figures = measured?;
    output.print(&figures, || to_text(&figures))?;
    removed
}

fn measure(options: &Options, testbed: &Testbed, project: &Project) -> Result<Value, Error> {
    project.build_push_deploy(FUNCTION)?;
    let key = project.keygen()?;
    let call = || call(testbed, &key);

    let agent = project.start_agent(0)?;
    project.seal(FUNCTION, &agent)?;
    eprintln!(
        "bench: {} single unlocks, no container parked",
        options.runs
    );
    let mut cold = Vec::new();
    for _ in 0..options.runs {
        agent.wait_until_locked(FUNCTION, 0)?;
        cold.push(call()?);
    }
    agent.stop()?;

    let mut figures = json!({
        "runs": options.runs, "callers": options.callers, "standby": options.standby,
        "pool": {"cold": summary(&cold)},
    });
    let agent = project.start_agent(options.standby)?;
    let closes = Mutex::new(Vec::new());
    let in_turn = || {
        // Whoever has it has the turn.
        let mut closes = closes.lock().unwrap_or_else(PoisonError::into_inner);
        let (time, close) = project.reencrypted_after(FUNCTION, call)?;
        closes.push(close.as_secs_f64() * 1e3);
        Ok(time)
    };
    let mut run = |name: &str, isolation: &str, call: &Call<'_>| {
        eprintln!(
            "bench: {} calls by {} callers, {name}",
            options.runs, options.callers
        );
        project.seal_with(FUNCTION, &agent, &["--isolation", isolation])?;
        agent.wait_until_isolated(FUNCTION, isolation)?;
        agent.wait_until_locked(FUNCTION, options.standby)?;
        let unlocks = || Ok::<_, Error>(agent.function(FUNCTION)?["unlocks"].as_u64().unwrap_or(0));
        let (before, start) = (unlocks()?, Instant::now());
        figures["pool"][name] = summary(&back_to_back(options, call)?);
        figures["pool"][name]["seconds"] = json!(start.elapsed().as_secs_f64());
        figures["pool"][name]["unlocks"] = json!(unlocks()? - before);
        Ok::<_, Error>(())
    };
    let measured = run("shared", "shared", &call)
        .and_then(|()| run("in_turn", "shared", &in_turn))
        .and_then(|()| run("isolated", "connection", &call));
    agent.stop()?;
    measured?;
    let closes = closes.into_inner().unwrap_or_else(PoisonError::into_inner);
    figures["pool"]["close"] = summary(&closes);
    Ok(figures)
}

/// How a caller calls; how long the answer took, in milliseconds.
type Call<'a> = dyn Fn() -> Result<f64, Error> + Sync + 'a;

/// Every caller calls again as soon as it has been answered.
fn back_to_back(options: &Options, call: &Call<'_>) -> Result<Vec<f64>, Error> {
    let each = options.runs.div_ceil(options.callers);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..options.callers)
            .map(|_| scope.spawn(move || (0..each).map(|_| call()).collect::<Result<Vec<_>, _>>()))
            .collect();
        let mut times = Vec::new();
        for caller in callers {
            let broken = |_| Error::NotSeen("a caller that comes to its end".into());
            times.extend(caller.join().map_err(broken)??);
        }
        Ok(times)
    })
}

/// A call on a connection of its own, from the handshake to the answer; in milliseconds.
fn call(testbed: &Testbed, key: &str) -> Result<f64, Error> {
    let start = Instant::now();
    HeldConnection::open(testbed, FUNCTION, QUESTION, Some(key), ANSWER)?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn summary(times: &[f64]) -> Value {
    let of = |rank| quantile(times, rank);
    json!({"p50": of(0.5), "p99": of(0.99), "max": of(1.0)})
}

fn to_text(figures: &Value) -> String {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let mut text = format!("{:<10}{:>12}{:>12}{:>12}\n", "", "p50", "p99", "max");
    for (name, meaning) in [
        ("cold", "a single unlock, no container parked"),
        ("shared", "callers who share a container"),
        ("in_turn", "callers who wait until it is locked again"),
        ("close", "from the close of such a call to ciphertext"),
        ("isolated", "callers who have a container each"),
    ] {
        let figures = &figures["pool"][name];
        let of = |rank| number(&figures[rank]);
        text += &format!(
            "{name:<10}{:>9.1} ms{:>9.1} ms{:>9.1} ms  {meaning}",
            of("p50"),
            of("p99"),
            of("max"),
        );
        if let Some(unlocks) = figures["unlocks"].as_u64() {
            text += &format!("; {unlocks} unlocks in {:.1} s", of("seconds"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_tells_how_often_it_was_unlocked() {
        let times = json!({"p50": 20.0, "p99": 300.0, "max": 400.0, "unlocks": 7, "seconds": 2.5});
        let figures = json!({"pool": {"cold": times, "shared": times, "in_turn": times, "close": times, "isolated": times}});
        let text = to_text(&figures);
        assert!(
            text.contains("share a container; 7 unlocks in 2.5 s\n"),
            "{text}"
        );
    }
}
