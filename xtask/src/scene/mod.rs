//! What the demonstration and the benchmark act out: an author with a project, an agent, callers.

mod agent;
mod call;
pub(crate) mod classic;
mod held;
mod project;

pub(crate) use agent::Agent;
pub(crate) use call::Call;
pub(crate) use held::HeldConnection;
pub(crate) use project::Project;

use std::time::Duration;

use serde_json::Value;

use crate::error::Error;

/// The example: a word in, its translation out.
pub(crate) const FUNCTION: &str = "pydict";
/// What it is asked.
pub(crate) const QUESTION: &str = r#"{"word": "night"}"#;
/// A part of what it answers.
pub(crate) const ANSWER: &str = "noche";

/// For hangs only: long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Says what holds, or fails with it.
pub(crate) fn verify(holds: bool, what: &str) -> Result<(), Error> {
    if holds {
        println!("{what}");
        Ok(())
    } else {
        Err(Error::NotSeen(what.to_owned()))
    }
}

fn parse(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::NotSeen(format!("JSON from rsfaas, but {error} in {text:?}")))
}
