//! What was checked, how it ended and how long it took.

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::error::{At as _, Error};

/// Why a step did not pass.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed.
    Failed(Error),
    /// It needs something that is not installed, and how to get it: a failure where the step was asked for by
    /// name, else a reason to skip it.
    Missing(String),
    /// It cannot be done on this machine, for this reason.
    Skipped(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Outcome {
    Passed {
        /// Tests of it that were not run.
        ignored: usize,
    },
    Failed,
    Skipped(String),
}

/// The steps so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    steps: Vec<(String, Outcome, Duration)>,
    /// Whether they were asked for by name.
    #[serde(skip)]
    by_name: bool,
}

impl Report {
    /// Of steps that were asked for by name: what they need has to be there.
    pub(crate) fn by_name() -> Self {
        Self {
            by_name: true,
            ..Self::default()
        }
    }

    /// Carries out a step under a heading; what it yields, if it passed.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        run: impl FnOnce() -> Result<T, Stop>,
    ) -> Option<T> {
        println!("\n== {name}");
        // What programs that are run now print must come after the heading.
        let _ = std::io::stdout().flush();
        let start = Instant::now();
        let (outcome, value) = match run() {
            Ok(value) => (Outcome::Passed { ignored: 0 }, Some(value)),
            Err(Stop::Failed(error)) => {
                println!("failed: {error}");
                (Outcome::Failed, None)
            }
            Err(Stop::Missing(what)) if self.by_name => {
                println!("failed: {what}");
                (Outcome::Failed, None)
            }
            Err(Stop::Missing(reason) | Stop::Skipped(reason)) => {
                println!("skipped: {reason}");
                (Outcome::Skipped(reason), None)
            }
        };
        self.steps.push((name.to_owned(), outcome, start.elapsed()));
        value
    }

    /// Carries out a step of tests, from what these print: some of them may be ignored.
    pub(super) fn tests(&mut self, name: &str, run: impl FnOnce() -> Result<String, Stop>) {
        let printed = self.step(name, run);
        if let (Some(printed), Some((_, outcome, _))) = (printed, self.steps.last_mut()) {
            *outcome = Outcome::Passed {
                ignored: ignored(&printed),
            };
        }
    }

    /// Keeps it in a file, for another report that is to have its steps, too.
    pub(super) fn write(&self, file: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::from);
        text.and_then(|text| fs::write(file, text)).at(file)
    }

    /// Adds the steps that another has kept in a file.
    pub(super) fn append(&mut self, file: &Path) -> Result<(), Error> {
        let text = fs::read(file).at(file)?;
        let other: Self = serde_json::from_slice(&text)
            .map_err(std::io::Error::from)
            .at(file)?;
        self.steps.extend(other.steps);
        Ok(())
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// When a step failed.
    pub(crate) fn finish(self) -> Result<(), Error> {
        print!("\n{}", self.summary());
        match self.count(|outcome| *outcome == Outcome::Failed) {
            0 => Ok(()),
            failed => Err(Error::Steps(failed)),
        }
    }

    fn count(&self, which: impl Fn(&Outcome) -> bool) -> usize {
        self.steps
            .iter()
            .filter(|(_, outcome, _)| which(outcome))
            .count()
    }

    fn summary(&self) -> String {
        let mut text = String::new();
        for (name, outcome, time) in &self.steps {
            let (outcome, ignored) = match outcome {
                Outcome::Passed { ignored } => ("passed", *ignored),
                Outcome::Failed => ("FAILED", 0),
                Outcome::Skipped(_) => ("skipped", 0),
            };
            let seconds = time.as_secs_f64();
            text.push_str(&format!("{name:<45} {outcome:<8} {seconds:>7.1} s"));
            if ignored > 0 {
                text.push_str(&format!(", {ignored} of its tests ignored"));
            }
            text.push('\n');
        }
        for (name, outcome, _) in &self.steps {
            if let Outcome::Skipped(reason) = outcome {
                text.push_str(&format!("skipped: {name}: {reason}\n"));
            }
        }
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let failed = self.count(|outcome| *outcome == Outcome::Failed);
        let passed = self.steps.len() - failed - skipped;
        text.push_str(&format!(
            "{passed} passed, {failed} failed, {skipped} skipped\n"
        ));
        text
    }
}

/// How many tests were ignored, by the summaries that they print.
fn ignored(printed: &str) -> usize {
    printed
        .lines()
        .filter_map(|line| line.strip_prefix("test result: "))
        .flat_map(|result| result.split("; "))
        .filter_map(|count| count.strip_suffix(" ignored")?.parse::<usize>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let time = Duration::from_millis(1234);
        Report {
            steps: vec![
                ("formatting".into(), Outcome::Passed { ignored: 0 }, time),
                (
                    "advisories".into(),
                    Outcome::Skipped("no database".into()),
                    time,
                ),
            ],
            ..Report::default()
        }
    }

    #[test]
    fn a_skipped_step_counts_as_neither_passed_nor_failed_and_says_why() {
        let summary = report().summary();
        assert!(
            summary.ends_with("1 passed, 0 failed, 1 skipped\n"),
            "{summary}"
        );
        assert!(
            summary.contains("skipped: advisories: no database\n"),
            "{summary}"
        );
        assert!(summary.contains("1.2 s"), "{summary}");
        report().finish().unwrap();
    }

    #[test]
    fn a_step_of_tests_tells_how_many_of_them_were_ignored() {
        let printed = "test a ... ignored\n\
                       test result: ok. 4 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1s\n\
                       test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1s\n";
        let mut report = Report::default();
        report.tests("some", || Ok(printed.into()));
        report.tests("others", || {
            Ok("test result: ok. 1 passed; 0 failed; 0 ignored".into())
        });
        let summary = report.summary();
        assert!(
            summary.contains(" s, 3 of its tests ignored\n"),
            "{summary}"
        );
        assert_eq!(summary.matches("ignored").count(), 1, "{summary}");
    }

    #[test]
    fn a_failed_step_of_another_report_fails_the_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut other = report();
        other.step::<()>("clippy", || Err(Error::Needs("a change".into()).into()));
        other.write(file.path()).unwrap();
        let mut report = report();
        report.append(file.path()).unwrap();
        assert!(
            report
                .summary()
                .ends_with("2 passed, 1 failed, 2 skipped\n")
        );
        report.finish().unwrap_err();
    }

    #[test]
    fn what_is_missing_fails_a_step_that_was_asked_for_by_name_and_skips_it_in_the_whole() {
        let outcome = |mut report: Report| {
            report.step::<()>("fuzzing", || Err(Stop::Missing("no nightly".into())));
            report.steps.remove(0).1
        };
        assert_eq!(outcome(Report::by_name()), Outcome::Failed);
        let skipped = Outcome::Skipped("no nightly".into());
        assert_eq!(outcome(Report::default()), skipped);
    }

    #[test]
    fn what_this_machine_cannot_do_is_skipped_even_where_it_was_asked_for() {
        let mut report = Report::by_name();
        report.step::<()>("advisories", || Err(Stop::Skipped("no database".into())));
        report.finish().unwrap();
    }

    #[test]
    fn one_failed_step_fails_the_whole() {
        let mut report = report();
        let value = report.step::<()>("clippy", || Err(Error::Needs("a change".into()).into()));
        assert_eq!(value, None);
        assert_eq!(
            report.finish().unwrap_err().to_string(),
            "1 of the steps failed"
        );
    }
}
