//! What tests rebuild.
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use serde_json::json;

use super::names::{Slots, UnlockedNames};
use crate::{
    openfaas::FaasCli,
    script,
    state::{SealedFunction, StateDir},
};

/// So many names of the function, and a faas-cli that does as it is told.
pub(super) fn host(folder: &Path, count: usize, text: &str) -> (Arc<Slots>, Arc<FaasCli>) {
    let names = UnlockedNames::of_host(&StateDir::new(folder)).unwrap();
    let program = script::write(&folder.join("faas-cli"), text);
    let faas = FaasCli::new(&program, "http://g", None).unwrap();
    (Slots::new(names, "pydict", count), Arc::new(faas))
}

/// A function each of whose connections has its own container. It has no handler.
pub(crate) fn function(folder: &Path) -> SealedFunction {
    let record = json!({
        "name": "pydict", "sealed": folder.join("handler.sealed"), "base_image": "r/pydict:base",
        "locked_image": "r/pydict:locked", "handler_dir": "/home/app/function", "park": "python",
        "upstream_port": 5000, "isolation": "connection", "stack": {},
    });
    serde_json::from_value(record).unwrap()
}

/// `cat`, or what runs one, when that has started, with its environment and mounts: it copies a line by then.
pub(super) fn started(program: &mut Command) -> Child {
    let program = program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = program.spawn().unwrap();
    writeln!(child.stdin.as_ref().unwrap(), "started").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    child
}
