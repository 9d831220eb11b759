//! `cargo xtask canary`: nothing readable is left. A function with a canary in its source is sealed and called
//! with its key; while it is unlocked, after the close and after a crash of the agent everything is searched
//! for the canary and the key.
//!
//! The answer is another secret of the run, of another kind: it is the caller's, and passes through gateway
//! and provider, whose memory may keep it for a while. Nothing else may.

mod core_dump;
mod expected;
mod plant;
mod subject;

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Instant, SystemTime},
};

use rsfaas_tests::canary::{Hit, Needles, Part, Place, Report, Stack, places::Delivered, search};

use crate::{
    build,
    error::Error,
    scene::{Agent, Call, HeldConnection, Project},
    setup,
    testbed::{self, Testbed},
};
use expected::{is_callers, while_unlocked, while_unlocked_by_image};
use subject::{KEY, SOURCE, Subject};

/// Problems that are told one by one.
const TOLD: usize = 40;

/// Sets up and searches. A testbed that was not there before is gone afterwards.
///
/// # Errors
/// When anything was found where it must not be, or not searched.
pub(crate) fn run(existing: bool) -> Result<(), Error> {
    let there = testbed::prerequisites(existing)?;
    setup::run(setup::Options {
        existing,
        no_clients: true,
        ..setup::Options::default()
    })?;
    let program = build::build(false)?;
    if let Some(testbed) = there {
        return on(&testbed, &program);
    }
    let keep = testbed::is_up();
    let searched = on(&testbed::up()?, &program);
    if keep {
        return searched;
    }
    searched.and(testbed::down())
}

/// Searches on an OpenFaaS that is there, with an agent that is built.
///
/// # Errors
/// As [`run`].
pub(crate) fn on(testbed: &Testbed, program: &Path) -> Result<(), Error> {
    let start = Instant::now();
    let project = Project::new(testbed, "canary", program)?;
    let mut run = Run {
        testbed,
        project: &project,
        since: SystemTime::now(),
        absent: BTreeMap::new(),
        problems: Vec::new(),
    };
    let mut removed = Vec::new();
    let searched = run
        .mount(&mut removed)
        .and_then(|()| run.image(&mut removed));
    for function in &removed {
        // One that was not sealed yet is not there.
        let _ = project.remove(&[function]);
        if testbed.folder.is_some() {
            testbed::remove_images(&format!("{}/{function}:*", testbed.registry_prefix))?;
        }
    }
    searched?;
    let seconds = start.elapsed().as_secs_f64();
    if !run.absent.is_empty() {
        println!("\nnot searched:");
        for (place, why) in &run.absent {
            println!("  {place}: {why}");
        }
    }
    match run.problems.len() {
        0 => {
            println!("\nnothing is left wherever it was searched, in {seconds:.1} s");
            Ok(())
        }
        count => {
            println!("\nproblems, in {seconds:.1} s:");
            for problem in run.problems.iter().take(TOLD) {
                println!("  {problem}");
            }
            Err(Error::Leaks(count))
        }
    }
}

struct Run<'a> {
    testbed: &'a Testbed,
    project: &'a Project,
    since: SystemTime,
    /// Places that were not searched, with the reason.
    absent: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Run<'_> {
    /// The default way of rebuilding: no trace anywhere, at any time.
    fn mount(&mut self, functions: &mut Vec<String>) -> Result<(), Error> {
        let agent = self.project.start_agent(1)?;
        let subject = self.sealed(&agent, "mount", functions)?;
        agent.wait_until_parked(&subject.name)?;
        let needles = subject.needles()?;
        // Older files cannot hold the secrets. After the close they are searched all the same.
        let stack = self.stack(&agent).only_changed();

        heading("planted: what must be found");
        let (report, missed) = plant::control(
            self.testbed,
            self.project.folder(),
            &agent.state_dir(),
            &stack,
        )?;
        self.show(&report);
        self.problems.extend(missed);

        heading("mount, unlocked");
        self.wrong_calls(&subject)?;
        let holder = self.hold(&subject)?;
        agent.wait_until_wiped()?;
        let report = search(&stack.places()?, &needles);
        self.judge("unlocked", &report, while_unlocked);
        self.must_see(&report, Delivered::NAME, SOURCE);
        self.must_see(&report, &Part::Containers.to_string(), SOURCE);
        self.must_see(&report, &Part::Agent.to_string(), KEY);

        heading("mount, after the close");
        drop(holder);
        agent.wait_until_parked(&subject.name)?;
        agent.wait_until_wiped()?;
        self.search("closed", &self.stack(&agent).places()?, &needles);

        heading("mount, after a crash of the agent while it was unlocked");
        let holder = self.hold(&subject)?;
        let cores = core_dump::force(agent, self.project.folder())?;
        println!("core dumps of the agent, taken by force: {}", cores.len());
        self.problems.extend(cores);
        drop(holder);
        let agent = self.project.start_agent(1)?;
        agent.wait_until_parked(&subject.name)?;
        let stack = self.stack(&agent).only_changed();
        self.search("crashed", &stack.places()?, &needles);
        agent.stop()
    }

    /// The opt-in: plaintext is in regular files while it is unlocked, and in none afterwards. Free blocks
    /// and the memory of engine and registry are not promised.
    fn image(&mut self, functions: &mut Vec<String>) -> Result<(), Error> {
        let agent = self.project.start_agent(1)?;
        let subject = self.sealed(&agent, "image", functions)?;
        let needles = subject.needles()?;
        let stack = self.stack(&agent);

        heading("image, unlocked: regular files");
        let holder = self.hold(&subject)?;
        let report = search(&stack.clone().only_changed().files()?, &needles);
        self.judge("image, unlocked", &report, while_unlocked_by_image);
        self.must_see(&report, "engine's folder", SOURCE);

        heading("image, after the close: regular files");
        drop(holder);
        agent.wait_until_locked(&subject.name, 0)?;
        self.search("image, closed", &stack.files()?, &needles);

        heading("image, after the close: memory, of which the agent's alone is promised");
        let report = search(&stack.memory(), &needles);
        let agents = Part::Agent.to_string();
        self.judge("image, closed", &report, |place, _| place != agents);
        agent.stop()
    }

    fn sealed(
        &self,
        agent: &Agent,
        rebuild: &str,
        functions: &mut Vec<String>,
    ) -> Result<Subject, Error> {
        let subject = Subject::new(self.project, self.testbed)?;
        functions.push(subject.name.clone());
        subject.seal(self.project, self.testbed, agent, rebuild)?;
        Ok(subject)
    }

    fn stack(&self, agent: &Agent) -> Stack {
        let folders = [self.project.folder().to_owned()];
        let stack = Stack::new(Some(agent.pid()), folders, self.since);
        match &self.testbed.folder {
            Some(folder) => stack.on_testbed(folder),
            None => stack,
        }
    }

    /// Calls that are refused, with the key or the most of it.
    fn wrong_calls(&self, subject: &Subject) -> Result<(), Error> {
        let call = |name: &str, key: &str| Call::of(self.testbed, name, "").key(key).run();
        let mistyped = subject.mistyped_key();
        call(&subject.name, &mistyped)?.expect(401, "key-malformed")?;
        call(&subject.name, &self.project.other_key()?)?.expect(403, "key-wrong")?;
        Call::at(
            self.testbed,
            &format!("async-function/{}", subject.name),
            "",
        )
        .key(&subject.key)
        .run()?
        .expect(501, "async")
    }

    fn hold(&self, subject: &Subject) -> Result<HeldConnection, Error> {
        let Subject {
            name, key, answer, ..
        } = subject;
        let mut holder = HeldConnection::open(self.testbed, name, "", Some(key), answer)?;
        holder.call()?;
        // On a connection of its own.
        let call = Call::of(self.testbed, name, "").key(key).run()?;
        call.expect(200, answer)?;
        Ok(holder)
    }

    /// Searches when nothing may be found any more.
    fn search(&mut self, phase: &str, places: &[Box<dyn Place>], needles: &Needles) {
        let report = search(places, needles);
        self.judge(phase, &report, is_callers);
    }

    fn show(&mut self, report: &Report) {
        print!("{report}");
        let absent = report.absent();
        self.absent
            .extend(absent.map(|(place, why)| (place.to_owned(), why.to_owned())));
    }

    fn judge(&mut self, phase: &str, report: &Report, expected: impl Fn(&str, &Hit) -> bool) {
        self.show(report);
        let problems = report.problems(expected);
        self.problems
            .extend(problems.iter().map(|problem| format!("{phase}: {problem}")));
    }

    fn must_see(&mut self, report: &Report, place: &str, secret: &str) {
        let seen = report
            .hits()
            .any(|(at, hit)| at == place && hit.secret == secret);
        if !seen {
            self.problems.push(format!(
                "{place}: the {secret} is there at this time, and was not found"
            ));
        }
    }
}

fn heading(text: &str) {
    println!("\n== {text}");
}
