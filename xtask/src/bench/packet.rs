//! `cargo xtask bench packet`: what the spotter costs packets that are none of its business. It measures
//! and asserts nothing about speed.

use std::process::Command;

use clap::Args;
use serde_json::{Value, json};

use super::{Place, agents_own, count, quantile};
use crate::{
    error::Error,
    process::output,
    scene::{Agent, Project},
    testbed::Testbed,
};

/// What to do, and with which OpenFaaS.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Pairs of measurements of the gateway's throughput
    #[arg(long, default_value_t = 21, value_parser = count)]
    pairs: usize,
    #[command(flatten)]
    place: Place,
}

/// Measures, and prints nanoseconds a packet, throughput by hook, and the gateway's throughput with the
/// agent against that without.
///
/// # Errors
/// When anything fails.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let (output, testbed) = options.place.prepare()?;
    eprintln!("bench: packets through the kernel");
    let mut figures = agents_own("packet")?;
    throughput(options, &testbed)?.add_to(&mut figures)?;
    figures["pairs"] = json!(options.pairs);
    output.print(&figures, || to_text(&figures))
}

/// Requests a second as a part of those without the agent, pair by pair.
#[derive(Default)]
struct Ratios {
    with: Vec<f64>,
    /// Without it as well: how far two measurements of the same lie apart on this machine.
    without: Vec<f64>,
}

impl Ratios {
    fn add_to(&self, figures: &mut Value) -> Result<(), Error> {
        let of = |ratios: &[f64], rank| {
            quantile(ratios, rank).ok_or_else(|| Error::NotSeen("a pair of measurements".into()))
        };
        let quartiles = |ratios| Ok::<_, Error>(json!([of(ratios, 0.25)?, of(ratios, 0.75)?]));
        figures["throughput_ratio"] = json!(of(&self.with, 0.5)?);
        figures["throughput_quartiles"] = quartiles(&self.with)?;
        figures["throughput_ratio_of_same"] = json!(of(&self.without, 0.5)?);
        figures["throughput_quartiles_of_same"] = quartiles(&self.without)?;
        Ok(())
    }
}

/// Measures in short turns, so that a machine that is slower now than then is so for both of a pair.
fn throughput(options: &Options, testbed: &Testbed) -> Result<Ratios, Error> {
    let project = Project::new(testbed, "bench-packet", "release")?;
    // The first start is slower than those that follow.
    requests_per_second(testbed)?;
    let mut ratios = Ratios::default();
    for pair in 0..options.pairs {
        eprintln!(
            "bench: gateway's throughput, pair {} of {}",
            pair + 1,
            options.pairs
        );
        // Which comes first alternates, so that what drifts does so for all.
        let (with, without, again) = if pair % 2 == 0 {
            let with = with_agent(testbed, &project)?;
            (
                with,
                requests_per_second(testbed)?,
                requests_per_second(testbed)?,
            )
        } else {
            let again = requests_per_second(testbed)?;
            let without = requests_per_second(testbed)?;
            (with_agent(testbed, &project)?, without, again)
        };
        ratios.with.push(with / without);
        ratios.without.push(again / without);
    }
    Ok(ratios)
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
    let text = output(Command::new("wrk").args(["-t1", "-c16", "-d1s", &address]))?;
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
    for (what, ratio, quartiles) in [
        ("with the agent", "throughput_ratio", "throughput_quartiles"),
        (
            "without as well",
            "throughput_ratio_of_same",
            "throughput_quartiles_of_same",
        ),
    ] {
        text += &format!(
            "gateway's throughput {what:<15} / without: {:.3}, half between {:.3} and {:.3}, {} pairs\n",
            figures[ratio].as_f64().unwrap_or_default(),
            figures[quartiles][0].as_f64().unwrap_or_default(),
            figures[quartiles][1].as_f64().unwrap_or_default(),
            figures["pairs"],
        );
    }
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
        let figures = json!({"ns": {"null": 50.0, "bystander": 62.5}});
        let text = to_text(&figures);
        assert!(text.contains("null + 12.5"), "{text}");
    }

    #[test]
    fn the_text_tells_the_ratio_beside_that_of_two_measurements_of_the_same() {
        let ratios = Ratios {
            with: vec![0.97, 0.98, 0.99, 1.01],
            without: vec![0.98, 1.0, 1.02, 1.03],
        };
        let mut figures = json!({"pairs": 4});
        ratios.add_to(&mut figures).unwrap();
        let text = to_text(&figures);
        assert!(
            text.contains(
                "with the agent  / without: 0.980, half between 0.970 and 0.990, 4 pairs"
            ),
            "{text}"
        );
        assert!(text.contains("without as well / without: 1.000"), "{text}");
    }
}
