//! Functions that are really sealed, each with a key of its own.
use std::{fs, path::Path};

use rsfaas::{
    seal::{FILE_NAME, folder::seal_built, key::Key},
    state::{Isolation, Park, Rebuild, SealedFunction, StateDir},
};
use serde_json::json;

use crate::{
    check::{Error, Outcome},
    containers::{Containers, UPSTREAM_PORT},
    http::KEY_HEADER,
};

/// Most tests call the first.
pub(crate) const A: &str = "wire-a";
pub(crate) const B: &str = "wire-b";
/// The one whose key the gateway comes to see: where no agent runs any more, nobody takes it out, and there
/// is a limitation.
pub(crate) const EXPOSED: &str = "wire-exposed";
pub(crate) const ALL: [&str; 3] = [A, B, EXPOSED];

/// A sealed function, as its callers know it.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) key: String,
}

/// Seals a function and writes its record into the state folder.
pub(crate) fn seal(
    folder: &Path,
    state: &StateDir,
    containers: &Containers,
    name: &'static str,
) -> Outcome<Function> {
    let source = folder.join(name);
    fs::create_dir(&source)?;
    fs::write(
        source.join("handler.py"),
        "def handle(req):\n    return req\n",
    )?;
    let key = Key::generate().map_err(|error| Error(error.to_string()))?;
    seal_built(&source, name, &key, 1, None, &|_| false)?;
    state.register(&SealedFunction {
        name: name.into(),
        sealed: source.join(FILE_NAME),
        base_image: format!("registry.invalid/{name}:base"),
        locked_image: format!("registry.invalid/{name}:locked"),
        handler_dir: containers.handler_dir(),
        park: Park::Gate,
        upstream_port: UPSTREAM_PORT,
        user: String::new(),
        rebuild: Rebuild::Mount,
        isolation: Isolation::Shared,
        key_header: KEY_HEADER.into(),
        stack: json!({}),
        manifests: None,
    })?;
    let key = key.to_text().to_string();
    Ok(Function { name, key })
}
