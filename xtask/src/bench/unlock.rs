//! `cargo xtask bench unlock`: what a call costs in each state of a function, measured side by side in
//! one run. It measures and asserts nothing about speed.

use std::time::{Duration, Instant};

use clap::Args;

use super::{
    Place, count,
    figures::{Figures, QUICK},
};
use crate::{
    error::Error,
    scene::{
        ANSWER, Agent, Call, FUNCTION, HeldConnection, Project, QUESTION,
        classic::{self, Builder},
    },
    testbed::Testbed,
};

/// What to do, and with which OpenFaaS.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each is measured
    #[arg(long, default_value_t = 10, value_parser = count)]
    runs: usize,
    #[command(flatten)]
    place: Place,
}

/// Measures, and prints medians, 99th percentiles and ratios.
///
/// # Errors
/// When anything answers wrongly.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let (output, testbed, program) = options.place.prepare()?;
    let project = Project::new(&testbed, "bench", &program)?;
    let mut figures = Figures::new(options.runs);
    let measured = measure(options, &testbed, &project, &mut figures);
    let removed = project.remove(&[FUNCTION, classic::FUNCTION]);
    measured.and(removed)?;
    output.print(&figures.to_json(), || figures.to_text())
}

fn measure(
    options: &Options,
    testbed: &Testbed,
    project: &Project,
    figures: &mut Figures,
) -> Result<(), Error> {
    classic::prepare(project)?;
    for builder in [Builder::BuildKit, Builder::Legacy] {
        classic::flow(testbed, project, builder, "warm-up", false)?;
    }
    project.build_push_deploy(FUNCTION)?;
    let key = project.keygen()?;
    let agent = project.start_agent(1)?;
    project.seal(FUNCTION, &agent)?;
    for run in 0..options.runs {
        eprintln!(
            "bench: with a parked container, run {} of {}",
            run + 1,
            options.runs
        );
        for _ in 0..QUICK {
            quick(testbed, &agent, &key, figures)?;
        }
        for (name, builder) in [
            ("classic", Builder::BuildKit),
            ("classic_legacy", Builder::Legacy),
        ] {
            let version = format!("{name} {run}");
            figures.add(
                name,
                classic::flow(testbed, project, builder, &version, false)?,
            );
        }
    }
    agent.stop()?;
    let agent = project.start_agent(0)?;
    for run in 0..options.runs {
        eprintln!(
            "bench: without a parked container, run {} of {}",
            run + 1,
            options.runs
        );
        agent.wait_until_locked(FUNCTION, 0)?;
        figures.add(
            "cold",
            answered(&Call::of(testbed, FUNCTION, QUESTION).key(&key))?,
        );
        figures.add("deploy_and_start", deploy_and_start(testbed, project)?);
    }
    project.seal_for(FUNCTION, &agent, "image")?;
    for run in 0..options.runs {
        eprintln!("bench: by image, run {} of {}", run + 1, options.runs);
        agent.wait_until_locked(FUNCTION, 0)?;
        figures.add(
            "image",
            answered(&Call::of(testbed, FUNCTION, QUESTION).key(&key))?,
        );
        // The two are compared.
        let version = format!("beside {run}");
        let builder = Builder::BuildKit;
        figures.add(
            "classic",
            classic::flow(testbed, project, builder, &version, false)?,
        );
    }
    agent.stop()
}

/// What takes no container of its own, and what takes one that is parked.
fn quick(testbed: &Testbed, agent: &Agent, key: &str, figures: &mut Figures) -> Result<(), Error> {
    agent.wait_until_parked(FUNCTION)?;
    let unsealed = Call::of(testbed, classic::FUNCTION, QUESTION);
    figures.add("unsealed", answered(&unsealed)?);
    let keyed = Call::of(testbed, FUNCTION, QUESTION).key(key);
    figures.add("standby", answered(&keyed)?);
    agent.wait_until_parked(FUNCTION)?;
    figures.add_steps(&agent.timeline(FUNCTION)?);
    let holder = HeldConnection::open(testbed, FUNCTION, QUESTION, Some(key), ANSWER)?;
    figures.add("warm", answered(&keyed)?);
    drop(holder);
    Ok(())
}

/// How long a call takes, which must be answered rightly.
fn answered(call: &Call) -> Result<Duration, Error> {
    let answer = call.run()?;
    answer.expect(200, ANSWER)?;
    Ok(Duration::from_secs_f64(answer.milliseconds() / 1e3))
}

/// A bare deployment of the plain function and its first answer.
fn deploy_and_start(testbed: &Testbed, project: &Project) -> Result<Duration, Error> {
    project.remove(&[classic::FUNCTION])?;
    let call = Call::of(testbed, classic::FUNCTION, QUESTION);
    let start = Instant::now();
    project.step("deploy", classic::FUNCTION)?;
    call.until_answered(ANSWER)?;
    Ok(start.elapsed())
}
