//! `cargo xtask bench packet`: what the spotter costs packets that are none of its business. It measures
//! and asserts nothing about speed.

use std::{path::Path, process::Command};

use clap::Args;
use serde_json::{Value, json};

use super::{Place, agents_own, count, quantile};
use crate::{error::Error, process::output, scene::Project, testbed::Testbed};

/// What to do, and with which OpenFaaS.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Pairs of measurements of the gateway's throughput
    #[arg(long, default_value_t = 21, value_parser = count)]
    pairs: usize,
    #[command(flatten)]
    place: Place,
}

/// Measures, and prints nanoseconds a packet, throughput by hook, and the gateway's throughput and latency
/// with the agent against those without.
///
/// # Errors
/// When anything fails.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let (output, testbed, program) = options.place.prepare()?;
    eprintln!("bench: packets through the kernel");
    let mut figures = agents_own("packet")?;
    throughput(options, &testbed, &program)?.add_to(&mut figures)?;
    figures["pairs"] = json!(options.pairs);
    output.print(&figures, || to_text(&figures))
}

/// What the gateway did in one turn, or the ratio of two turns.
#[derive(Clone, Copy)]
struct Load {
    /// Requests a second.
    rate: f64,
    /// Latency in microseconds.
    p50: f64,
    p99: f64,
}

impl Load {
    fn against(self, other: Self) -> Self {
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

/// Turns with the agent against the two without beside it.
#[derive(Default)]
struct Ratios {
    with: Vec<Load>,
    /// Without it as well: how far two measurements of the same lie apart on this machine.
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
            figures[format!("throughput_quartiles{suffix}")] =
                json!([of(rate, 0.25)?, of(rate, 0.75)?]);
            figures[format!("latency_ratio{suffix}")] =
                json!({"p50": of(|load| load.p50, 0.5)?, "p99": of(|load| load.p99, 0.5)?});
        }
        Ok(())
    }
}

/// Measures in short turns, so that a machine that is slower now than then is so for both of a pair.
fn throughput(options: &Options, testbed: &Testbed, program: &Path) -> Result<Ratios, Error> {
    let project = Project::new(testbed, "bench-packet", program)?;
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
            (with, under_load(testbed)?, under_load(testbed)?)
        } else {
            let again = under_load(testbed)?;
            let without = under_load(testbed)?;
            (with_agent(testbed, &project)?, without, again)
        };
        ratios.with.push(with.against(without.mean(again)));
        ratios.without.push(again.against(without));
    }
    Ok(ratios)
}

fn with_agent(testbed: &Testbed, project: &Project) -> Result<Load, Error> {
    let agent = project.start_agent(0)?;
    let load = under_load(testbed);
    agent.stop()?;
    load
}

/// What the gateway answers by itself, so that no function's time hides the packets'.
fn under_load(testbed: &Testbed) -> Result<Load, Error> {
    // What the agent and caches still do right after a start or an end is not the packets' cost.
    wrk(testbed)?;
    wrk(testbed)
}

fn wrk(testbed: &Testbed) -> Result<Load, Error> {
    let address = format!("{}/healthz", testbed.gateway.trim_end_matches('/'));
    let text = output(Command::new("wrk").args(["-t1", "-c16", "-d1s", "--latency", &address]))?;
    load(&text).ok_or_else(|| Error::NotSeen(format!("a load without errors in {text:?}")))
}

/// What wrk says; `None` where requests failed.
fn load(text: &str) -> Option<Load> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    let behind = |name| {
        text.lines()
            .find_map(|line| line.trim_start().strip_prefix(name))
            .map(str::trim)
    };
    Some(Load {
        rate: behind("Requests/sec:")?.parse().ok()?,
        p50: microseconds(behind("50%")?)?,
        p99: microseconds(behind("99%")?)?,
    })
}

/// A time as wrk prints it.
fn microseconds(text: &str) -> Option<f64> {
    [("us", 1.0), ("ms", 1e3), ("s", 1e6)]
        .into_iter()
        .find_map(|(unit, scale)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * scale))
}

fn to_text(figures: &Value) -> String {
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let mut text = String::new();
    let null = number(&figures["ns"]["null"]);
    for (title, key, unit) in [
        ("a packet in the programs", "ns", "ns"),
        ("a link's throughput by hook", "gbit_s", "Gbit/s"),
    ] {
        text += &format!("{title}\n");
        for (name, value) in figures[key].as_object().into_iter().flatten() {
            let value = number(value);
            text += &format!("  {name:<22}{value:>9.1} {unit}");
            if key == "ns" && name != "null" {
                text += &format!("  null + {:.1}", value - null);
            }
            text += "\n";
        }
    }
    for (what, suffix) in [("with the agent", ""), ("without as well", "_of_same")] {
        let of = |figure: &str| &figures[format!("{figure}{suffix}")];
        let (quartiles, latency) = (of("throughput_quartiles"), of("latency_ratio"));
        text += &format!(
            "gateway's throughput {what:<15} / without: {:.3}, half between {:.3} and {:.3}, {} pairs; \
             latency p50 {:.3}, p99 {:.3}\n",
            number(of("throughput_ratio")),
            number(&quartiles[0]),
            number(&quartiles[1]),
            figures["pairs"],
            number(&latency["p50"]),
            number(&latency["p99"]),
        );
    }
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
    fn the_text_tells_what_a_class_costs_above_the_hook_itself() {
        let figures = json!({"ns": {"null": 50.0, "bystander": 62.5}});
        let text = to_text(&figures);
        assert!(text.contains("null + 12.5"), "{text}");
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
        let mut figures = json!({"pairs": 4});
        ratios.add_to(&mut figures).unwrap();
        let text = to_text(&figures);
        assert!(
            text.contains(
                "with the agent  / without: 0.980, half between 0.970 and 0.990, 4 pairs; latency p50 1.010"
            ),
            "{text}"
        );
        assert!(text.contains("without as well / without: 1.000"), "{text}");
    }
}
