//! `rsfaas seal` as far as it comes without an engine.
use std::{fs, path::Path};

use clap::Parser as _;

use crate::{
    cli::{self, Cli, exit::Exit},
    seal::key::Key,
};

/// Seals the function of a project, whose key has that path.
fn seal(project: &Path, key: &str) -> Exit {
    seal_at(project, key, "http://127.0.0.1:1")
}

/// Seals the function of a project whose stack file names a gateway.
fn seal_at(project: &Path, key: &str, gateway: &str) -> Exit {
    let at = |file: &str| project.join(file).into_os_string();
    // No folder, so nothing can be written there.
    let state = project.join("agent.toml");
    let config = format!("gateway = 'http://127.0.0.1:1'\nstate_dir = {state:?}\n");
    fs::write(&state, config).unwrap();
    let stack = format!(
        "provider: {{name: openfaas, gateway: '{gateway}'}}\nfunctions:\n  \
         f: {{lang: python3, handler: ./f, image: i}}\n"
    );
    fs::write(project.join("stack.yaml"), stack).unwrap();
    let arguments = [
        "rsfaas".into(),
        "seal".into(),
        "-f".into(),
        at("stack.yaml"),
        "--config".into(),
        at("agent.toml"),
        "--key-file".into(),
        at(key),
    ];
    let cli = Cli::try_parse_from(arguments).unwrap();
    cli::run(cli.command).unwrap_err().exit()
}

fn project() -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    fs::create_dir(project.path().join("f")).unwrap();
    for key in ["f/f.key", "f.key"] {
        let text = Key::generate().unwrap().to_text();
        fs::write(project.path().join(key), text.as_bytes()).unwrap();
    }
    project
}

#[test]
fn a_key_in_the_handler_folder_is_a_mistake_of_the_stack_file() {
    let project = project();
    assert_eq!(seal(project.path(), "f/f.key"), Exit::Stack);
    assert!(project.path().join("f/f.key").exists());
}

#[test]
fn a_state_folder_that_takes_no_record_stops_before_anything_is_asked_or_built() {
    assert_eq!(seal(project().path(), "f.key"), Exit::File);
}

#[test]
fn a_gateway_that_is_not_asked_by_plain_http_is_refused_first() {
    for gateway in ["https://gateway.invalid", "http://gateway.invalid/faas"] {
        assert_eq!(seal_at(project().path(), "f.key", gateway), Exit::Stack);
    }
}
