//! `cargo xtask bench release`: what the way through the agent adds to a call of a function that is unlocked
//! already. It measures and asserts nothing about speed.

use clap::Args;
use serde_json::{Value, json};

use super::{Place, agents_own, count, quantile};
use crate::{
    error::Error,
    scene::{ANSWER, FUNCTION, HeldConnection, Project, QUESTION, classic},
    testbed::Testbed,
};

/// What to do, and with which OpenFaaS.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each is called
    #[arg(long, default_value_t = 500, value_parser = count)]
    runs: usize,
    #[command(flatten)]
    place: Place,
}

/// Measures, and prints: microseconds from the agent's decision to the gateway's socket, and milliseconds of
/// calls over kept connections, of the sealed function while it is unlocked and of the same one unsealed.
///
/// # Errors
/// When anything answers wrongly.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let (output, testbed, program) = options.place.prepare()?;
    eprintln!("bench: from the decision to the gateway's socket");
    let mut figures = agents_own("release")?;
    let project = Project::new(&testbed, "bench-release", &program)?;
    let measured = calls(options, &testbed, &project);
    let removed = project.remove(&[FUNCTION, classic::FUNCTION]);
    figures["ms"] = measured?;
    figures["runs"] = json!(options.runs);
    output.print(&figures, || to_text(&figures))?;
    removed
}

fn calls(options: &Options, testbed: &Testbed, project: &Project) -> Result<Value, Error> {
    classic::prepare(project)?;
    for function in [classic::FUNCTION, FUNCTION] {
        project.build_push_deploy(function)?;
    }
    let key = project.keygen()?;
    let agent = project.start_agent(1)?;
    project.seal(FUNCTION, &agent)?;
    agent.wait_until_parked(FUNCTION)?;
    let mut unsealed = HeldConnection::open(testbed, classic::FUNCTION, QUESTION, None, ANSWER)?;
    let mut warm = HeldConnection::open(testbed, FUNCTION, QUESTION, Some(&key), ANSWER)?;
    let (mut plain, mut keyed) = (Vec::new(), Vec::new());
    eprintln!("bench: {} calls of each", options.runs);
    for run in 0..options.runs {
        // Which comes first alternates, so that what drifts does so for both.
        if run % 2 == 0 {
            plain.push(unsealed.call()?.as_secs_f64() * 1e3);
        }
        keyed.push(warm.call()?.as_secs_f64() * 1e3);
        if run % 2 == 1 {
            plain.push(unsealed.call()?.as_secs_f64() * 1e3);
        }
    }
    drop((unsealed, warm));
    agent.stop()?;
    let of = |times: &[f64]| json!({"p50": quantile(times, 0.5), "p99": quantile(times, 0.99)});
    Ok(json!({"unsealed": of(&plain), "warm": of(&keyed)}))
}

fn to_text(figures: &Value) -> String {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let line = |name: &str, unit: &str, value: &Value, meaning: &str| {
        let (p50, p99) = (number(&value["p50"]), number(&value["p99"]));
        format!("{name:<10}{p50:>9.2} {unit}{p99:>9.2} {unit}  {meaning}\n")
    };
    let (us, ms) = (&figures["us"], &figures["ms"]);
    let added = number(&ms["warm"]["p50"]) - number(&ms["unsealed"]["p50"]);
    [
        format!("{:<10}{:>12}{:>12}\n", "", "p50", "p99"),
        line(
            "veth",
            "us",
            &us["veth"],
            "from the decision to the gateway's socket",
        ),
        line("loopback", "us", &us["loopback"], "the same over loopback"),
        line(
            "unsealed",
            "ms",
            &ms["unsealed"],
            "a call of the plain function",
        ),
        line(
            "warm",
            "ms",
            &ms["warm"],
            "a keyed call of the unlocked one",
        ),
        format!(
            "the agent adds {:.0} us at the median; {} calls of each\n",
            added * 1e3,
            figures["runs"]
        ),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_tells_what_the_agent_adds() {
        let figures = json!({
            "us": {"veth": {"p50": 40.0, "p99": 90.0}, "loopback": {"p50": 25.0, "p99": 80.0}},
            "ms": {"unsealed": {"p50": 2.0, "p99": 4.0}, "warm": {"p50": 2.1, "p99": 4.5}},
            "runs": 7,
        });
        let text = to_text(&figures);
        assert!(
            text.contains("adds 100 us at the median; 7 calls"),
            "{text}"
        );
    }
}
