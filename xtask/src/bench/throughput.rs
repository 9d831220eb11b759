//! What the gateway does under load, with the agent's programs attached and with ones that do nothing in their place.
//!
//! Two turns of the same scatter by a tenth on a machine that others have a part of, and an agent that starts or ends changes
//! what follows: so turns are short and many, the two kinds alternate, and nothing but the programs changes between them.
//! The kernel's calls of the ones that do nothing count for neither side: some nanoseconds each, of which a request has ten.

use std::{f64::consts::PI, process::Command, time::Duration};

use serde_json::{Value, json};

use super::{attached::Attached, behind, quantile};
use crate::{
    error::Error,
    process::output,
    scene::{Agent, Project},
    testbed::Testbed,
};

/// How long a turn is.
const TURN: Duration = Duration::from_millis(250);
/// How long what goes before the first one, until caches hold what the turns need.
pub(super) const WARM_UP: Duration = Duration::from_secs(1);

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

/// Of each pair of turns with the programs and pair without them, the one against the other.
#[derive(Default)]
struct Ratios {
    with: Vec<Load>,
    /// Of the two turns without them, one against the other: how far two measurements of the same lie apart on this
    /// machine. Each is one turn, where the others are two.
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
/// Of a single one it is not known.
fn error_of_median(loads: &[Load]) -> Option<f64> {
    let count = loads.len() as f64;
    if loads.len() < 2 {
        return None;
    }
    let mean = loads.iter().map(|load| load.rate).sum::<f64>() / count;
    let squares = loads.iter().map(|load| (load.rate - mean).powi(2));
    let variance = squares.sum::<f64>() / (count - 1.0);
    Some((PI / 2.0).sqrt() * (variance / count).sqrt())
}

/// Adds throughput and latency with the agent's programs against those without them.
///
/// # Errors
/// When anything fails.
pub(super) fn add_to(
    figures: &mut Value,
    pairs: usize,
    testbed: &Testbed,
    project: &Project,
) -> Result<(), Error> {
    let agent = project.start_agent(0)?;
    let measured = measure(pairs, testbed, &agent);
    agent.stop()?;
    measured?.add_to(figures)
}

fn measure(pairs: usize, testbed: &Testbed, agent: &Agent) -> Result<Ratios, Error> {
    let attached = Attached::of(agent.pid())?;
    let with = || turn(testbed);
    let without = || attached.without(|| turn(testbed));
    let mut ratios = Ratios::default();
    wrk(testbed, WARM_UP)?;
    for pair in 0..pairs {
        if pair % 10 == 0 {
            eprintln!("bench: gateway's throughput, {pair} of {pairs}");
        }
        // Which comes first alternates, so that what drifts does so for both.
        let ((first, last), (early, late), same) = if pair % 2 == 0 {
            let first = with()?;
            let (early, late) = (without()?, without()?);
            ((first, with()?), (early, late), late.over(early))
        } else {
            let early = without()?;
            let between = (with()?, with()?);
            let late = without()?;
            (between, (early, late), early.over(late))
        };
        ratios.with.push(first.mean(last).over(early.mean(late)));
        ratios.without.push(same);
    }
    Ok(ratios)
}

fn turn(testbed: &Testbed) -> Result<Load, Error> {
    let text = wrk(testbed, TURN)?;
    load(&text).ok_or_else(|| Error::NotSeen(format!("a load in {text:?}")))
}

/// What wrk says of requests that the gateway answers by itself, so that no function's time hides the packets'.
///
/// # Errors
/// When any of them was not answered.
pub(super) fn wrk(testbed: &Testbed, duration: Duration) -> Result<String, Error> {
    let address = format!("{}/healthz", testbed.gateway.trim_end_matches('/'));
    // It knows whole seconds only, and tells what it has seen when it is interrupted.
    let limit = duration.as_secs_f64().to_string();
    let text = output(
        Command::new("timeout")
            .args(["--preserve-status", "--signal=INT", &limit])
            .args(["wrk", "-t1", "-c16", "-d1h", "--latency", &address]),
    )?;
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(Error::NotSeen(format!("a load without errors in {text:?}")));
    }
    Ok(text)
}

/// What wrk says.
fn load(text: &str) -> Option<Load> {
    Some(Load {
        rate: behind(text, "Requests/sec:")?.parse().ok()?,
        p50: microseconds(behind(text, "50%")?)?,
        p99: microseconds(behind(text, "99%")?)?,
    })
}

/// A time as wrk prints it.
fn microseconds(text: &str) -> Option<f64> {
    [("us", 1.0), ("ms", 1e3), ("s", 1e6)]
        .into_iter()
        .find_map(|(unit, scale)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * scale))
}

/// As people read it.
pub(super) fn to_text(figures: &Value) -> String {
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let mut text = String::new();
    for (what, suffix) in [("with the programs", ""), ("without as well", "_of_same")] {
        let of = |figure: &str| &figures[format!("{figure}{suffix}")];
        let latency = of("latency_ratio");
        let error = of("throughput_error").as_f64();
        text += &format!(
            "gateway's throughput {what:<17} / without: {:.3} +- {}; latency p50 {:.3}, p99 {:.3}\n",
            number(of("throughput_ratio")),
            error.map_or("?".to_owned(), |error| format!("{error:.3}")),
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
    fn wrk_tells_requests_a_second_and_how_long_they_took() {
        let said = "  Latency Distribution\n     50%  812.00us\n     99%    1.50ms\nRequests/sec:   8123.45\n";
        let seen = load(said).unwrap();
        assert_eq!((seen.rate, seen.p50, seen.p99), (8123.45, 812.0, 1500.0));
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
        let mut figures = json!({});
        ratios.add_to(&mut figures).unwrap();
        let text = to_text(&figures);
        assert!(
            text.contains("with the programs / without: 0.980 +- 0.011; latency p50 1.010"),
            "{text}"
        );
        assert!(
            text.contains("without as well   / without: 1.000"),
            "{text}"
        );
        let single = ratios.with[0];
        let ratios = Ratios {
            with: vec![single],
            without: vec![single],
        };
        ratios.add_to(&mut figures).unwrap();
        let text = to_text(&figures);
        assert!(text.contains("without: 0.970 +- ?;"), "{text}");
    }
}
