//! What a search came to.
use std::{fmt, time::Duration};

use super::Spelling;

/// A secret was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its name.
    pub secret: &'static str,
    /// How it was written.
    pub spelling: Spelling,
    /// The file, process or map.
    pub at: String,
    /// Bytes into that, or an address.
    pub offset: u64,
}

impl fmt::Display for Hit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            secret,
            spelling,
            at,
            offset,
        } = self;
        write!(formatter, "{secret} ({spelling}) in {at} at {offset:#x}")
    }
}

/// What came of one place.
#[derive(Debug, Default)]
pub struct Finding {
    /// The place.
    pub place: String,
    /// Why there was nothing to be searched; `None` where there was.
    pub absent: Option<String>,
    /// What could not be searched.
    pub failures: Vec<String>,
    /// Files, processes or maps that were searched.
    pub items: u64,
    /// Bytes that were searched.
    pub bytes: u64,
    /// The first of the hits.
    pub hits: Vec<Hit>,
    /// How many there are.
    pub hit_count: u64,
    /// Whether a marker was found; `None` where none has to be.
    pub marker: Option<bool>,
    /// How long it took.
    pub time: Duration,
}

/// What a search came to, place by place.
#[derive(Debug)]
pub struct Report {
    /// Every place.
    pub findings: Vec<Finding>,
    /// From start to end.
    pub time: Duration,
}

impl Report {
    /// What is wrong, a line each, where hits in some places are as they should be.
    #[must_use]
    pub fn problems(&self, expected: impl Fn(&str, &Hit) -> bool) -> Vec<String> {
        let mut problems = Vec::new();
        for finding in &self.findings {
            let place = &finding.place;
            let failures = finding.failures.iter();
            problems.extend(failures.map(|why| format!("{place}: not searched: {why}")));
            let wrong = finding.hits.iter().filter(|hit| !expected(place, hit));
            problems.extend(wrong.map(|hit| format!("{place}: {hit}")));
            let untold = finding.hit_count - finding.hits.len() as u64;
            if untold > 0 {
                problems.push(format!("{place}: {untold} hits more"));
            }
            if finding.marker == Some(false) {
                problems.push(format!(
                    "{place}: the marker that must be there was not found: this search proves nothing"
                ));
            }
        }
        problems
    }

    /// Every hit that is told, with its place.
    pub fn hits(&self) -> impl Iterator<Item = (&str, &Hit)> {
        self.findings
            .iter()
            .flat_map(|finding| finding.hits.iter().map(|hit| (finding.place.as_str(), hit)))
    }

    /// Places in which there was nothing to be searched, with the reason.
    pub fn absent(&self) -> impl Iterator<Item = (&str, &str)> {
        self.findings
            .iter()
            .filter_map(|finding| Some((finding.place.as_str(), finding.absent.as_deref()?)))
    }

    /// Bytes searched in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.findings.iter().map(|finding| finding.bytes).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<34} {:>7} {:>11} {:>8}  {:<6} hits",
            "place", "items", "bytes", "time", "marker"
        )?;
        for finding in &self.findings {
            let place = &finding.place;
            if let Some(why) = &finding.absent {
                writeln!(formatter, "{place:<34} not there: {why}")?;
                continue;
            }
            writeln!(
                formatter,
                "{place:<34} {:>7} {:>11} {:>6.1} s  {:<6} {}{}",
                finding.items,
                amount(finding.bytes),
                finding.time.as_secs_f64(),
                match finding.marker {
                    Some(true) => "found",
                    Some(false) => "MISSED",
                    None => "-",
                },
                finding.hit_count,
                match finding.failures.len() {
                    0 => String::new(),
                    count => format!("  NOT SEARCHED: {count}"),
                },
            )?;
        }
        writeln!(
            formatter,
            "{} in {:.1} s",
            amount(self.bytes()),
            self.time.as_secs_f64()
        )
    }
}

/// Bytes for people.
fn amount(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{:.1} KiB", bytes as f64 / 1024.0)
    } else {
        format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(finding: Finding) -> Report {
        Report {
            findings: vec![Finding {
                place: "logs".into(),
                ..finding
            }],
            time: Duration::from_millis(1500),
        }
    }

    fn with_a_hit() -> Report {
        report(Finding {
            bytes: 3 << 20,
            hits: vec![Hit {
                secret: "key",
                spelling: Spelling::Hex,
                at: "/var/log/x".into(),
                offset: 16,
            }],
            hit_count: 1,
            marker: Some(true),
            ..Finding::default()
        })
    }

    #[test]
    fn a_hit_is_a_problem_unless_it_is_expected_there() {
        let report = with_a_hit();
        assert_eq!(
            report.problems(|_, _| false),
            ["logs: key (hex) in /var/log/x at 0x10"]
        );
        assert!(report.problems(|place, _| place == "logs").is_empty());
    }

    #[test]
    fn hits_that_are_not_told_one_by_one_are_never_expected() {
        let mut report = with_a_hit();
        report.findings[0].hit_count += 7;
        assert_eq!(report.problems(|_, _| true), ["logs: 7 hits more"]);
    }

    #[test]
    fn a_place_that_could_not_be_searched_is_a_problem_and_one_that_is_not_there_is_told() {
        let failed = report(Finding {
            failures: vec!["permission denied".into()],
            ..Finding::default()
        });
        assert_eq!(
            failed.problems(|_, _| true),
            ["logs: not searched: permission denied"]
        );
        let absent = report(Finding {
            absent: Some("no journal".into()),
            ..Finding::default()
        });
        assert!(absent.problems(|_, _| false).is_empty());
        assert!(absent.absent().eq([("logs", "no journal")]));
        assert_eq!(failed.absent().count(), 0);
    }

    #[test]
    fn a_marker_that_was_not_found_is_a_problem() {
        let report = report(Finding {
            marker: Some(false),
            ..Finding::default()
        });
        let problems = report.problems(|_, _| false);
        assert!(problems[0].contains("proves nothing"), "{problems:?}");
    }

    #[test]
    fn the_table_tells_of_each_place_how_much_was_searched_and_found() {
        let text = with_a_hit().to_string();
        assert!(text.contains("3.0 MiB"), "{text}");
        assert!(text.contains("found  1\n"), "{text}");
    }
}
