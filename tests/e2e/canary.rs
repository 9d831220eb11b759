//! The search for canaries after a fault: a function has one in its source and in its answer, and everything that
//! outlives a process is searched for both and for the function's key.
use std::{fs, path::Path, sync::OnceLock, time::SystemTime};

use rsfaas_tests::{
    canary::{
        Hit, Needles, Part, Place, Report, Secret, Stack,
        places::{BpfMaps, Delivered, UnnamedFiles},
        search,
    },
    random,
};

use crate::{
    World,
    author::Author,
    host::{Error, check, eventually, fail},
};

/// What the secrets are called.
pub(crate) const SOURCE: &str = "source";
const UNBUILT: &str = "source that was never built";
const ANSWER: &str = "answer";
pub(crate) const KEY: &str = "key";

/// What is appended to a handler.
const LINES: &str = r#"

CANARY = "SOURCE"
without_canary = handle


def handle(req):
    answer = without_canary(req)
    return {**answer, "canary": CANARY[::-1]} if isinstance(answer, dict) else answer
"#;

/// A canary in a function.
pub(crate) struct Canary {
    function: &'static str,
    source: String,
    /// Another one, which no plain build ever saw.
    unbuilt: OnceLock<String>,
    /// Older files hold neither it nor the key.
    since: SystemTime,
}

impl Canary {
    /// Puts one into a function that is plain still and has no key yet.
    pub(crate) fn plant(author: &Author, function: &'static str) -> Result<Self, Error> {
        let since = SystemTime::now();
        let source = random::hex(20)?;
        let handler = author.path(function).join("handler.py");
        fs::write(&handler, with(&fs::read_to_string(&handler)?, &source))?;
        Ok(Self {
            function,
            source,
            unbuilt: OnceLock::new(),
            since,
        })
    }

    /// A handler in place of the function's, with the same canary in its source and in its answer.
    pub(crate) fn in_handler(&self, handler: &str) -> String {
        with(handler, &self.source)
    }

    /// Puts the other one into a handler that is sealed without being built.
    pub(crate) fn plant_unbuilt(&self, handler: &Path) -> Result<(), Error> {
        let unbuilt = random::hex(20)?;
        let text = fs::read_to_string(handler)? + &format!("\nUNBUILT = \"{unbuilt}\"\n");
        fs::write(handler, text)?;
        self.unbuilt
            .set(unbuilt)
            .map_err(|_| Error("it was planted before".into()))
    }

    /// Nothing of it is left: not in a file or a log, nor in what the agent has in memory and maps.
    pub(crate) fn is_gone(&self, world: &World) -> Result<(), Error> {
        eventually("a wiped ring buffer", || {
            Ok(world.agent.counter("frames_unwiped")? == 0)
        })?;
        let report = self.search(world)?;
        let key = world.author.key_file(self.function);
        let is_key_file = |at: &str| Path::new(at) == key;
        nothing_is_left(&report, |hit| hit.secret == KEY && is_key_file(&hit.at))?;
        // The owner's own copy shows that the search finds what is there.
        check!(
            report.hits().any(|(_, hit)| is_key_file(&hit.at)),
            "not even the key file was found:\n{report}"
        );
        Ok(())
    }

    /// Of what no plain build saw, nothing is in a block of the disk that the containers' data lie on, free or
    /// not.
    pub(crate) fn is_in_no_block(&self, world: &World) -> Result<(), Error> {
        check!(self.unbuilt.get().is_some(), "it was not planted");
        let mut secrets = self.never_built(world)?;
        let image = world.host.image_prefix.clone() + self.function;
        secrets.push(Secret::marker("image", &image)?);
        let disk = self.stack(world)?.disk()?;
        let disk = disk.ok_or_else(|| Error("there is no such disk".into()))?;
        if let Some(why) = disk.is_absent() {
            return fail(why);
        }
        nothing_is_left(&search(&[disk], &Needles::new(secrets)?), |_| false)
    }

    /// Why there is no disk of which blocks can be searched, where there is none.
    pub(crate) fn has_no_disk(&self, world: &World) -> Option<String> {
        match self.stack(world).and_then(|stack| Ok(stack.disk()?)) {
            Ok(Some(disk)) => disk.is_absent(),
            Ok(None) => Some("only the testbed has one".into()),
            // Which the search fails for, too.
            Err(_) => None,
        }
    }

    /// Searches for it, wherever a process that dies could leave something. The memory of engine, registry and
    /// gateway and the free blocks of the disk are no such places, and the plain build went through them.
    pub(crate) fn search(&self, world: &World) -> Result<Report, Error> {
        let mut secrets = self.never_built(world)?;
        secrets.push(Secret::new(SOURCE, self.source.as_bytes())?);
        Ok(search(&self.places(world)?, &Needles::new(secrets)?))
    }

    /// What no plain build ever saw.
    fn never_built(&self, world: &World) -> Result<Vec<Secret>, Error> {
        let mut secrets = vec![
            Secret::new(ANSWER, self.answer().as_bytes())?,
            Secret::key(KEY, &world.author.key(self.function)?)?,
        ];
        if let Some(unbuilt) = self.unbuilt.get() {
            secrets.push(Secret::new(UNBUILT, unbuilt.as_bytes())?);
        }
        Ok(secrets)
    }

    fn stack(&self, world: &World) -> Result<Stack, Error> {
        let folders = [world.agent.folder(), world.author.folder()].map(Path::to_owned);
        Ok(Stack::new(Some(world.agent.pid()?), folders, self.since).only_changed())
    }

    fn places(&self, world: &World) -> Result<Vec<Box<dyn Place>>, Error> {
        let pid = world.agent.pid()?;
        let stack = self.stack(world)?;
        let mut places = stack.files()?;
        let agent = Part::Agent.to_string();
        let memory = stack.memory().into_iter();
        places.extend(memory.filter(|memory| memory.name() == agent));
        places.push(Box::new(BpfMaps { pid }));
        places.push(Box::new(Delivered));
        places.push(Box::new(UnnamedFiles));
        Ok(places)
    }

    /// Its part of the function's answer.
    fn answer(&self) -> String {
        self.source.chars().rev().collect()
    }
}

/// A handler with a canary.
fn with(handler: &str, source: &str) -> String {
    handler.to_owned() + &LINES.replace("SOURCE", source)
}

/// A search found nothing but what is expected, in every place that it had to go through.
pub(crate) fn nothing_is_left(
    report: &Report,
    expected: impl Fn(&Hit) -> bool,
) -> Result<(), Error> {
    let problems = report.problems(|_, hit| expected(hit));
    check!(
        problems.is_empty(),
        "something is left:\n{}\n{report}",
        problems.join("\n")
    );
    Ok(())
}
