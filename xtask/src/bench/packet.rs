//! `cargo xtask bench packet`: what the spotter costs packets that are none of its business. It measures
//! and asserts nothing about speed.

use std::process::Command;

use serde_json::{Value, json};

use super::{Output, agents_own, prepare, quantile};
use crate::{
    error::Error,
    process::output,
    scene::{Agent, Project},
    testbed::Testbed,
};

/// What to do, and with which OpenFaaS.
pub(crate) struct Options {
    /// Pairs of measurements of the gateway's throughput.
    pub(crate) pairs: usize,
    /// One JSON object instead of text.
    pub(crate) json: bool,
    /// Use the OpenFaaS that the environment names.
    pub(crate) existing: bool,
}

/// Measures, and prints nanoseconds a packet, throughput by hook, and the gateway's throughput with the
/// agent against that without.
///
/// # Errors
/// When anything fails.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let output = Output::new(options.json)?;
    let testbed = prepare(options.existing)?;
    eprintln!("bench: packets through the kernel");
    let mut figures = agents_own("packet")?;
    figures["throughput_ratio"] = json!(throughput_ratio(options, &testbed)?);
    figures["pairs"] = json!(options.pairs);
    output.print(&figures, || to_text(&figures))
}

/// Requests a second with the agent, as a part of those without, in pairs side by side.
fn throughput_ratio(options: &Options, testbed: &Testbed) -> Result<f64, Error> {
    let project = Project::new(testbed, "bench-packet", "release")?;
    // The first start is slower than those that follow.
    requests_per_second(testbed)?;
    let mut ratios = Vec::new();
    for pair in 0..options.pairs {
        eprintln!(
            "bench: gateway's throughput, pair {} of {}",
            pair + 1,
            options.pairs
        );
        // Which comes first alternates, so that what drifts does so for both.
        let mut with = None;
        if pair % 2 == 0 {
            with = Some(with_agent(testbed, &project)?);
        }
        let without = requests_per_second(testbed)?;
        let with = match with {
            Some(with) => with,
            None => with_agent(testbed, &project)?,
        };
        ratios.push(with / without);
    }
    quantile(&ratios, 0.5).ok_or_else(|| Error::NotSeen("a pair of measurements".into()))
}

fn with_agent(testbed: &Testbed, project: &Project) -> Result<f64, Error> {
    let agent = Agent::start(testbed, project, 0)?;
    let rate = requests_per_second(testbed);
    agent.stop()?;
    rate
}

/// What the gateway answers by itself, so that no function's time hides the packets'.
fn requests_per_second(testbed: &Testbed) -> Result<f64, Error> {
    let address = format!("{}/healthz", testbed.gateway.trim_end_matches('/'));
    let text = output(Command::new("wrk").args(["-t1", "-c16", "-d3s", &address]))?;
    rate(&text).ok_or_else(|| Error::NotSeen(format!("a rate without errors in {text:?}")))
}

/// The rate in what wrk says; `None` where requests failed.
fn rate(text: &str) -> Option<f64> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    text.lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"))
        .and_then(|rate| rate.trim().parse().ok())
}

fn to_text(figures: &Value) -> String {
    let mut text = String::new();
    let null = figures["ns"]["null"].as_f64().unwrap_or_default();
    for (title, key, unit) in [
        ("a packet in the programs", "ns", "ns"),
        ("a link's throughput by hook", "gbit_s", "Gbit/s"),
    ] {
        text += &format!("{title}\n");
        for (name, value) in figures[key].as_object().into_iter().flatten() {
            let value = value.as_f64().unwrap_or_default();
            text += &format!("  {name:<22}{value:>9.1} {unit}");
            if key == "ns" && name != "null" {
                text += &format!("  null + {:.1}", value - null);
            }
            text += "\n";
        }
    }
    text += &format!(
        "gateway's throughput with the agent / without: {:.3}, median of {} pairs\n",
        figures["throughput_ratio"].as_f64().unwrap_or_default(),
        figures["pairs"],
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_only_if_every_request_was_answered() {
        assert_eq!(rate("Requests/sec:  8123.45\n"), Some(8123.45));
        assert_eq!(
            rate("  Non-2xx or 3xx responses: 3\nRequests/sec:  8123.45\n"),
            None
        );
    }

    #[test]
    fn the_text_tells_what_a_class_costs_above_the_hook_itself() {
        let figures = json!({
            "ns": {"null": 50.0, "bystander": 62.5},
            "throughput_ratio": 0.991, "pairs": 5,
        });
        let text = to_text(&figures);
        assert!(text.contains("null + 12.5"), "{text}");
        assert!(text.contains("0.991, median of 5 pairs"), "{text}");
    }
}
