//! `rsfaas seal` as far as it comes without an engine.
use std::{fs, path::Path};

use clap::Parser as _;

use super::is_same;
use crate::{
    cli::{self, Cli, exit::Exit},
    seal::key::Key,
    stack::StackFile,
    state::SealedFunction,
};

/// Seals the function of a project, whose key has that path.
fn seal(project: &Path, key: &str) -> Exit {
    let at = |file: &str| project.join(file).into_os_string();
    // No folder, so nothing can be written there.
    let state = project.join("agent.toml");
    let config = format!("gateway = 'http://127.0.0.1:1'\nstate_dir = {state:?}\n");
    fs::write(&state, config).unwrap();
    let stack = "provider: {name: openfaas}\nfunctions:\n  \
                 f: {lang: python3, handler: ./f, image: i}\n";
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
fn a_template_that_is_gone_does_not_make_the_entry_another_one() {
    let project = project();
    let text =
        "provider: {name: openfaas}\nfunctions:\n  f: {lang: node, handler: ./f, image: i}\n";
    let file = project.path().join("stack.yaml");
    fs::write(&file, text).unwrap();
    let template = project.path().join("template/node");
    fs::create_dir_all(&template).unwrap();
    fs::write(template.join("template.yml"), "fprocess: node index.js\n").unwrap();
    let stack = StackFile::read(&file).unwrap();
    let function = || stack.functions(None).unwrap().remove(0);
    let record = |stack: &serde_json::Value| -> SealedFunction {
        let record = serde_json::json!({
            "name": "f", "sealed": "/f", "base_image": "b", "locked_image": "l", "handler_dir": "/app",
            "park": "node", "upstream_port": 8080, "stack": stack,
        });
        serde_json::from_value(record).unwrap()
    };
    let sealed = record(&function().entry);
    assert!(is_same(&stack, &function(), &sealed));
    fs::write(template.join("template.yml"), "fprocess: node other.js\n").unwrap();
    assert!(!is_same(&stack, &function(), &sealed));
    fs::remove_dir_all(&template).unwrap();
    assert!(is_same(&stack, &function(), &sealed));
    let mut other = function().entry;
    other["limits"] = serde_json::json!({"memory": "64m"});
    assert!(!is_same(&stack, &function(), &record(&other)));
}
