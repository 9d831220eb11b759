//! Medians, percentiles and ratios of what was measured.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde_json::{Value, json};

/// Calls of the kinds that take milliseconds, in each run.
pub(super) const QUICK: usize = 5;

/// What is measured, in the order in which it is told.
const NAMES: [(&str, &str); 8] = [
    ("unsealed", "a running function that is not sealed"),
    ("warm", "a sealed one that is unlocked"),
    ("standby", "a locked one, a container parked"),
    ("cold", "a locked one, no container parked"),
    (
        "deploy_and_start",
        "a bare faas-cli deploy and the first answer",
    ),
    ("image", "a locked one, its image built"),
    (
        "classic",
        "changed, built with BuildKit, pushed, deployed, called",
    ),
    ("classic_legacy", "the same with the legacy builder"),
];

/// Steps of a parked function's unlock, as the agent's timelines have them.
const STEPS: [&str; 7] = [
    "key-checked",
    "opened",
    "taken",
    "delivered",
    "ready",
    "released",
    "answered",
];

/// Times by what was measured.
pub(super) struct Figures {
    runs: usize,
    times: BTreeMap<&'static str, Vec<f64>>,
    /// Milliseconds since the request was held.
    steps: BTreeMap<&'static str, Vec<f64>>,
}

impl Figures {
    pub(super) fn new(runs: usize) -> Self {
        Self {
            runs,
            times: BTreeMap::new(),
            steps: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, name: &'static str, time: Duration) {
        self.times
            .entry(name)
            .or_default()
            .push(time.as_secs_f64() * 1e3);
    }

    /// Takes the steps of an unlock from its timeline.
    pub(super) fn add_steps(&mut self, timeline: &Value) {
        for entry in timeline["steps"].as_array().into_iter().flatten() {
            let step = STEPS.iter().find(|step| entry[0] == **step);
            if let (Some(step), Some(time)) = (step, entry[1].as_f64()) {
                self.steps.entry(step).or_default().push(time);
            }
        }
    }

    /// A quantile in milliseconds; `None` where nothing was measured.
    fn quantile(&self, name: &str, quantile: f64) -> Option<f64> {
        super::quantile(self.times.get(name)?, quantile)
    }

    pub(super) fn to_json(&self) -> Value {
        let of = |quantile: f64| -> Value {
            NAMES
                .iter()
                .filter_map(|(name, _)| {
                    Some(((*name).to_owned(), json!(self.quantile(name, quantile)?)))
                })
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let steps = |rank| -> Value {
            self.steps
                .iter()
                .map(|(step, times)| ((*step).to_owned(), json!(super::quantile(times, rank))))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        json!({
            "median_ms": of(0.5), "p99_ms": of(0.99), "runs": self.runs,
            "steps": {"median_ms": steps(0.5), "p99_ms": steps(0.99)},
        })
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{:<18}{:>12}{:>12}\n", "", "median", "p99");
        for (name, meaning) in NAMES {
            if let (Some(median), Some(p99)) = (self.quantile(name, 0.5), self.quantile(name, 0.99))
            {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{name:<18}{median:>9.1} ms{p99:>9.1} ms  {meaning}");
            }
        }
        let median = |name| self.quantile(name, 0.5);
        if let (Some(standby), Some(unsealed)) = (median("standby"), median("unsealed")) {
            let _ = writeln!(text, "standby is unsealed + {:.1} ms", standby - unsealed);
        }
        for step in STEPS {
            let times = self.steps.get(step).map_or(&[][..], Vec::as_slice);
            let of = |rank| super::quantile(times, rank);
            if let (Some(median), Some(p99)) = (of(0.5), of(0.99)) {
                let _ = writeln!(
                    text,
                    "  {step:<16}{median:>9.2} ms{p99:>9.2} ms  of standby, once held"
                );
            }
        }
        for (slow, fast) in [
            ("classic", "standby"),
            ("cold", "deploy_and_start"),
            ("image", "classic"),
        ] {
            if let (Some(slower), Some(faster)) = (median(slow), median(fast)) {
                let _ = writeln!(text, "{slow} / {fast} = {:.2}", slower / faster);
            }
        }
        let _ = writeln!(
            text,
            "{} runs, {QUICK} quick calls of each kind in each",
            self.runs
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures::new(4);
        for time in [40, 10, 30, 20] {
            figures.add("standby", Duration::from_millis(time));
            figures.add("unsealed", Duration::from_millis(time / 2));
        }
        figures
    }

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let value = figures().to_json();
        assert_eq!(value["median_ms"]["standby"], 20.0);
        assert_eq!(value["p99_ms"]["standby"], 40.0);
        assert_eq!(value["runs"], 4);
        assert!(value["median_ms"].get("cold").is_none(), "never measured");
    }

    #[test]
    fn an_unlocks_steps_are_told_by_their_quantiles() {
        let mut figures = figures();
        for time in [1.5, 0.5] {
            figures.add_steps(&json!({"steps": [["held", 0.0], ["opened", time]]}));
        }
        let value = figures.to_json();
        assert_eq!(value["steps"]["median_ms"], json!({"opened": 0.5}));
        assert_eq!(value["steps"]["p99_ms"], json!({"opened": 1.5}));
        assert!(figures.to_text().contains("opened"));
    }

    #[test]
    fn the_text_tells_the_difference() {
        assert!(
            figures()
                .to_text()
                .contains("standby is unsealed + 10.0 ms")
        );
    }
}
