//! The images of a sealed function.
use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

use crate::{
    agent::Agent,
    host::{Error, check, run},
};

/// In the layers of every image: where it is not found, nothing would be.
const MARKER: &str = "etc/passwd";

/// The engine's volumes.
pub(crate) fn volumes() -> Result<BTreeSet<String>, Error> {
    let list = run(Command::new("docker").args(["volume", "ls", "--quiet"]))?;
    Ok(list.split_whitespace().map(str::to_owned).collect())
}

/// Checks that neither the base image nor the locked one holds a text, in any file of any layer. Both come in
/// one archive, so that the layers that they share are written and searched once.
pub(crate) fn check_without(agent: &Agent, function: &str, text: &str) -> Result<(), Error> {
    let record = agent.state_dir().join(format!("functions/{function}.json"));
    let record: serde_json::Value = serde_json::from_str(&fs::read_to_string(record)?)?;
    let mut save = Command::new("docker");
    save.arg("save").stdout(Stdio::piped());
    for image in ["base_image", "locked_image"] {
        let Some(image) = record[image].as_str() else {
            return Err(Error(format!("no {image} in the record of {function}")));
        };
        save.arg(image);
    }
    let mut save = save.spawn()?;
    let layers = save.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let found = Command::new("grep")
        .args(["--only-matching", "--text", "--fixed-strings"])
        .args(["--regexp", MARKER, "--regexp", text])
        .stdin(layers)
        .output()?;
    check!(
        save.wait()?.success(),
        "the images of {function} were not saved"
    );
    let found = String::from_utf8_lossy(&found.stdout);
    check!(
        found.contains(MARKER),
        "the layers of {function} cannot be searched"
    );
    check!(
        !found.contains(text),
        "an image of {function} holds a text of the handler"
    );
    Ok(())
}
