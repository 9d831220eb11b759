//! The classic flow, for comparison: the handler changes, and is built, pushed, deployed and called.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::{PATIENCE, call::Call, project::Project};
use crate::{
    error::{At as _, Error},
    testbed::Testbed,
    workspace,
};

/// The same function under another name, never sealed.
pub(super) const FUNCTION: &str = "pydict-classic";

/// Runs it, once to warm every cache and once timed.
pub(super) fn run(
    testbed: &Testbed,
    project: &Project,
    question: &str,
    answer: &str,
) -> Result<Duration, Error> {
    prepare(project)?;
    flow(testbed, project, question, answer, "warm-up")?;
    flow(testbed, project, question, answer, "timed")
}

/// Puts a plain copy of the example into the project.
fn prepare(project: &Project) -> Result<(), Error> {
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

fn flow(
    testbed: &Testbed,
    project: &Project,
    question: &str,
    answer: &str,
    version: &str,
) -> Result<Duration, Error> {
    let handler = project.folder().join(FUNCTION).join("handler.py");
    let text = fs::read_to_string(&handler).at(&handler)?;
    fs::write(&handler, format!("{text}\n# {version}\n")).at(&handler)?;
    let start = Instant::now();
    let mut last = start;
    for step in ["build", "push", "deploy"] {
        project.step(step, FUNCTION)?;
        tell(version, step, &mut last);
    }
    let call = Call::of(testbed, FUNCTION, question);
    while !call.run().is_ok_and(|given| given.is(200, answer)) {
        if start.elapsed() > PATIENCE {
            return Err(Error::NotSeen(format!("an answer of {FUNCTION}")));
        }
        thread::sleep(Duration::from_millis(5));
    }
    tell(version, "answer", &mut last);
    Ok(start.elapsed())
}

fn tell(version: &str, step: &str, last: &mut Instant) {
    println!(
        "{version:>8} {step:<7} {:>8.0} ms",
        last.elapsed().as_secs_f64() * 1e3
    );
    *last = Instant::now();
}
