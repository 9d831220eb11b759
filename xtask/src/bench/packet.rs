//! `cargo xtask bench packet`: what the spotter costs packets that are none of its business. It measures
//! and asserts nothing about speed.

use clap::Args;
use serde_json::{Value, json};

use super::{Place, agents_own, count, share, throughput};
use crate::{error::Error, scene::Project};

/// What to do, and with which OpenFaaS.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Measurements of the gateway's throughput, of two turns with the agent's programs and two without
    #[arg(long, default_value_t = 200, value_parser = count)]
    pairs: usize,
    #[command(flatten)]
    place: Place,
}

/// Measures, and prints nanoseconds a packet, throughput by hook, and the gateway's throughput and latency
/// with the agent's programs against those without.
///
/// # Errors
/// When anything fails.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let (output, testbed, program) = options.place.prepare()?;
    eprintln!("bench: packets through the kernel");
    let mut figures = agents_own("packet")?;
    let null = figures["ns"]["null"].as_f64();
    let null = null.ok_or_else(|| Error::NotSeen("what the hook costs by itself".into()))?;
    let project = Project::new(&testbed, "bench-packet", &program)?;
    throughput::add_to(&mut figures, options.pairs, &testbed, &project)?;
    figures["programs"] = share::of_programs(&testbed, &project, null)?;
    figures["pairs"] = json!(options.pairs);
    output.print(&figures, || to_text(&figures))
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
    text + &throughput::to_text(figures) + &share::to_text(&figures["programs"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_tells_what_a_class_costs_above_the_hook_itself() {
        let figures = json!({"ns": {"null": 50.0, "bystander": 62.5}});
        let text = to_text(&figures);
        assert!(text.contains("null + 12.5"), "{text}");
    }
}
