//! What passed on which kernel.

use crate::error::Error;

/// What the guest's own lines start with.
const TAG: &str = "rsfaas-guest: ";

/// The outcomes so far.
#[derive(Debug, Default)]
pub(super) struct Table {
    kernels: Vec<Outcomes>,
}

#[derive(Debug)]
struct Outcomes {
    kernel: &'static str,
    /// Each case and whether it passed.
    cases: Vec<(String, bool)>,
    passed: bool,
}

impl Table {
    /// Adds what a machine wrote.
    pub(super) fn add(&mut self, kernel: &'static str, output: &str) {
        let lines = output
            .lines()
            .filter_map(|line| line.trim().strip_prefix(TAG));
        let mut verdict = false;
        let mut cases = Vec::new();
        for line in lines {
            if let Some(case) = line.strip_prefix("passed ") {
                cases.push((case.to_owned(), true));
            } else if let Some(case) = line.strip_prefix("FAILED ") {
                let name = case.split(": ").next().unwrap_or(case);
                cases.push((name.to_owned(), false));
            } else {
                verdict = line == "verdict passed";
            }
        }
        self.kernels.push(Outcomes {
            kernel,
            passed: verdict && cases.iter().all(|(_, passed)| *passed),
            cases,
        });
    }

    /// Prints the table.
    ///
    /// # Errors
    /// When a kernel has no verdict, or a bad one, or there was none at all.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.kernels.is_empty() {
            return Err(Error::NotSeen("any kernel to boot".into()));
        }
        print!("\n{self}");
        match self.kernels.iter().filter(|kernel| !kernel.passed).count() {
            0 => Ok(()),
            failed => Err(Error::Kernels(failed)),
        }
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.kernels.iter().flat_map(|kernel| &kernel.cases) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let mut row = |name: &str, cell: &dyn Fn(&Outcomes) -> &'static str| {
            write!(out, "{name:<72}")?;
            for kernel in &self.kernels {
                write!(out, " {:>8}", cell(kernel))?;
            }
            writeln!(out)
        };
        row("Linux", &|kernel| kernel.kernel)?;
        for name in names {
            row(name, &|kernel| {
                let case = kernel.cases.iter().find(|(case, _)| case == name);
                case.map_or("not run", |(_, passed)| word(*passed))
            })?;
        }
        row("verdict", &|kernel| word(kernel.passed))
    }
}

fn word(passed: bool) -> &'static str {
    if passed { "passed" } else { "FAILED" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[    0.1] the kernel's\r\n\
        rsfaas-guest: passed held (lo)\r\nrsfaas-guest: verdict passed\r\n";

    fn table(output: &str) -> Table {
        let mut table = Table::default();
        table.add("6.1", output);
        table
    }

    #[test]
    fn a_machine_passes_with_its_verdict() {
        let table = table(GOOD);
        let text = table.to_string();
        assert!(
            text.lines()
                .any(|line| { line.starts_with("held (lo) ") && line.ends_with(" passed") })
        );
        table.finish().unwrap();
    }

    #[test]
    fn a_machine_without_a_verdict_has_failed() {
        let cut = GOOD.split("rsfaas-guest: verdict").next().unwrap();
        assert!(table(cut).finish().is_err());
        assert!(table("").finish().is_err());
    }

    #[test]
    fn where_nothing_was_booted_nothing_has_passed() {
        assert!(Table::default().finish().is_err());
    }

    #[test]
    fn a_failed_case_fails_its_machine_whatever_the_verdict() {
        let bad = GOOD.replace("passed held", "FAILED held: expected this, but that");
        let table = table(&bad.replace("(lo)", ""));
        assert!(table.to_string().contains("FAILED"));
        assert!(table.finish().is_err());
    }
}
