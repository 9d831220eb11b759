//! The classic flow, for comparison: the handler changes, and is built, pushed, deployed and called.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::{ANSWER, QUESTION, call::Call, project::Project};
use crate::{
    error::{At as _, Error},
    testbed::Testbed,
    workspace,
};

/// The same function under another name, never sealed.
pub(crate) const FUNCTION: &str = "pydict-classic";

/// Runs it, once to warm every cache and once timed.
pub(crate) fn run(testbed: &Testbed, project: &Project) -> Result<Duration, Error> {
    prepare(project)?;
    flow(testbed, project, Builder::BuildKit, "warm-up", true)?;
    flow(testbed, project, Builder::BuildKit, "timed", true)
}

/// Which of Docker's builders builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builder {
    BuildKit,
    Legacy,
}

/// Puts a plain copy of the example into the project.
pub(crate) fn prepare(project: &Project) -> Result<(), Error> {
    let source = workspace::root()
        .join("tests/functions")
        .join(super::FUNCTION);
    let folder = project.folder().join(FUNCTION);
    crate::process::run(
        std::process::Command::new("cp")
            .arg("-r")
            .arg(source)
            .arg(&folder),
    )?;
    let stack = project.folder().join("stack.yaml");
    let text = fs::read_to_string(&stack).at(&stack)?;
    let entry: String = text
        .lines()
        .skip_while(|line| *line != format!("  {}:", super::FUNCTION))
        .enumerate()
        .take_while(|(index, line)| *index == 0 || line.starts_with("    "))
        .map(|(_, line)| line.replace(super::FUNCTION, FUNCTION) + "\n")
        .collect();
    fs::write(&stack, format!("{}\n{entry}", text.trim_end())).at(&stack)
}

/// Changes the handler, builds, pushes, deploys, and calls until the changed one answers.
pub(crate) fn flow(
    testbed: &Testbed,
    project: &Project,
    builder: Builder,
    version: &str,
    told: bool,
) -> Result<Duration, Error> {
    let handler = project.folder().join(FUNCTION).join("handler.py");
    let source = project.folder().join(FUNCTION).join("handler.py.original");
    if !source.exists() {
        fs::copy(&handler, &source).at(&source)?;
    }
    let text = fs::read_to_string(&source).at(&source)?;
    // The answer tells the version, so that an old container's is not taken for the new one's.
    let answer = format!("{ANSWER} ({version})");
    fs::write(&handler, text.replace(ANSWER, &answer)).at(&handler)?;
    let start = Instant::now();
    let mut last = start;
    let mut tell = |step: &str| {
        if told {
            println!(
                "{version:>8} {step:<7} {:>8.0} ms",
                last.elapsed().as_secs_f64() * 1e3
            );
        }
        last = Instant::now();
    };
    let buildkit = if builder == Builder::BuildKit {
        "1"
    } else {
        "0"
    };
    for step in ["build", "push", "deploy"] {
        project.step_with(step, FUNCTION, &[("DOCKER_BUILDKIT", buildkit)])?;
        tell(step);
    }
    Call::of(testbed, FUNCTION, QUESTION).until_answered(&answer)?;
    tell("answer");
    Ok(start.elapsed())
}
