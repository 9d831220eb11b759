//! The function that is sealed for the search, and its secrets.

use std::fs;

use crate::{
    error::{At as _, Error},
    process::{feed, output},
    scene::{Agent, Project},
    testbed::Testbed,
};
use rsfaas_tests::{
    canary::{Needles, Secret},
    random,
};

/// What each secret is called in reports.
pub(super) const SOURCE: &str = "source";
pub(super) const KEY: &str = "key";
pub(super) const ANSWER: &str = "answer";

/// Blocks of the data file, each with the canary at its start, and bytes of a block.
const BLOCKS: usize = 64;
const BLOCK: usize = 4096;

const HANDLER: &str = r#""""SOURCE"""
import pathlib

CANARY = "SOURCE"
DATA = pathlib.Path(__file__).with_name("data.txt").read_text()


def handle(req):
    return CANARY[::-1] if CANARY in DATA else "no data"
"#;

/// A function that nobody but this run knows: its plain form was never built.
pub(super) struct Subject {
    /// Its name; a part of it is the marker.
    pub(super) name: String,
    /// What it answers, which is not in its source as it stands.
    pub(super) answer: String,
    /// Its key's text, never in a file.
    pub(super) key: String,
    marker: String,
    source: String,
}

impl Subject {
    /// Writes its handler and its entry of the stack file.
    pub(super) fn new(project: &Project, testbed: &Testbed) -> Result<Self, Error> {
        let (marker, source) = (
            random::hex(8).at(random::SOURCE)?,
            random::hex(20).at(random::SOURCE)?,
        );
        let name = format!("canary-{marker}");
        let folder = project.folder().join(&name);
        fs::create_dir(&folder).at(&folder)?;
        // In every block of a file that fills several chunks of the sealed format and many buffers.
        let block = format!("{source}\n{}\n", "filler ".repeat(BLOCK / 7));
        for (file, text) in [
            ("handler.py", HANDLER.replace("SOURCE", &source)),
            ("data.txt", block.repeat(BLOCKS)),
            // A manifest stays readable: it is in the base image's layers by right.
            ("requirements.txt", format!("# {marker}\n")),
        ] {
            let path = folder.join(file);
            fs::write(&path, text).at(path)?;
        }
        let stack = project.folder().join("stack.yaml");
        let text = fs::read_to_string(&stack).at(&stack)?;
        let entry = format!(
            "  {name}:\n    lang: python3-flask-debian\n    handler: ./{name}\n    image: {}/{name}:latest\n",
            testbed.registry_prefix
        );
        fs::write(&stack, format!("{}\n{entry}", text.trim_end())).at(&stack)?;
        let key = output(std::process::Command::new(project.program()).arg("keygen"))?;
        Ok(Self {
            name,
            answer: source.chars().rev().collect(),
            key: key.trim().to_owned(),
            marker,
            source,
        })
    }

    /// Seals it. The key goes through standard input.
    pub(super) fn seal(
        &self,
        project: &Project,
        testbed: &Testbed,
        agent: &Agent,
        rebuild: &str,
    ) -> Result<(), Error> {
        println!("rsfaas seal --function {} --rebuild {rebuild}", self.name);
        let mut command = std::process::Command::new(project.program());
        testbed.lend(&mut command);
        command
            .current_dir(project.folder())
            .args(["seal", "-f", "stack.yaml", "--key-file", "-"])
            .args(["--function", &self.name, "--rebuild", rebuild])
            .arg("--config")
            .arg(agent.config());
        feed(&mut command, self.key.as_bytes()).map(drop)
    }

    /// A key's text with a mistake in it.
    pub(super) fn mistyped_key(&self) -> String {
        let mut text = self.key.clone();
        let last = if text.pop() == Some('q') { 'p' } else { 'q' };
        text.push(last);
        text
    }

    /// What is searched for.
    pub(super) fn needles(&self) -> Result<Needles, Error> {
        Ok(Needles::new(vec![
            Secret::new(SOURCE, self.source.as_bytes())?,
            Secret::new(ANSWER, self.answer.as_bytes())?,
            Secret::key(KEY, &self.key)?,
            Secret::marker("marker", &self.marker)?,
        ])?)
    }
}
