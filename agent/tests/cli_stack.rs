//! `seal`, `unseal` and `forget` as a user runs them, where there is no engine and faas-cli is a script.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output},
    thread,
};

use rsfaas::{
    seal::{FILE_NAME, folder::seal_folder, key::Key},
    stack::StackFile,
    state::{SealedFunction, StateDir},
};

/// What a gateway answers that has no functions.
const NO_FUNCTIONS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]";

/// Where everything is answered so, for as long as the tests run.
fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines();
            for _ in lines.take_while(|line| !line.as_ref().unwrap().is_empty()) {}
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

/// A project with the one function `f`, whose image is built from its handler.
struct Project {
    root: tempfile::TempDir,
    key: Key,
}

impl Project {
    fn new() -> Self {
        Self::at(NO_FUNCTIONS)
    }

    /// At a gateway that answers this.
    fn at(gateway: &'static str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let key = Key::generate().unwrap();
        let project = Self { root, key };
        let at = |path: &str| project.path(path);
        fs::create_dir(at("f")).unwrap();
        fs::write(at("f/Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
        fs::write(at("f.key"), project.key.to_text().as_bytes()).unwrap();
        fs::set_permissions(at("f.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let gateway = format!("http://{}", answering(gateway));
        let stack = format!(
            "provider: {{name: openfaas, gateway: '{gateway}'}}\nfunctions:\n  \
             f: {{lang: dockerfile, handler: ./f, image: registry.invalid/f}}\n"
        );
        fs::write(at("stack.yaml"), stack).unwrap();
        let (faas_cli, state, socket) = (at("faas-cli"), at("state"), at("agent.sock"));
        let config = format!(
            "gateway = {gateway:?}\nfaas_cli = {faas_cli:?}\nstate_dir = {state:?}\ncontrol_socket = {socket:?}\n"
        );
        fs::write(at("agent.toml"), config).unwrap();
        project.faas_cli("exit 0");
        project
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn state(&self) -> StateDir {
        StateDir::new(self.path("state"))
    }

    fn faas_cli(&self, text: &str) {
        let path = self.path("faas-cli");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// As an earlier run has left it that was killed when the handler was encrypted.
    fn begin(&self) -> SealedFunction {
        let stack = StackFile::read(&self.path("stack.yaml")).unwrap();
        self.begin_with(&stack.functions(None).unwrap()[0].entry)
    }

    /// The same with an entry of the stack file that was there then.
    fn begin_with(&self, entry: &serde_json::Value) -> SealedFunction {
        seal_folder(&self.path("f"), "f", &self.key, 1).unwrap();
        let record = serde_json::json!({
            "name": "f", "sealed": self.path("f").join(FILE_NAME), "base_image": "registry.invalid/f:base",
            "locked_image": "registry.invalid/f:locked", "handler_dir": "/app", "park": "container",
            "upstream_port": 8080, "stack": entry,
        });
        let record: SealedFunction = serde_json::from_value(record).unwrap();
        self.state().begin(&record).unwrap();
        record
    }

    fn run(&self, command: &str) -> Output {
        self.run_in("", &[command])
    }

    /// In a folder of the project, with these arguments.
    fn run_in(&self, folder: &str, arguments: &[&str]) -> Output {
        let key = self.path("f.key").into_os_string();
        self.rsfaas(folder, arguments)
            .args(["--key-file".into(), key])
            .output()
            .unwrap()
    }

    fn forget(&self, name: &str) -> Output {
        self.rsfaas("", &["forget", name]).output().unwrap()
    }

    fn rsfaas(&self, folder: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rsfaas"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("agent.toml"))
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .current_dir(self.path(folder));
        command
    }
}

#[test]
fn a_sealing_that_was_killed_goes_on_without_building_and_is_not_finished_before_the_purge() {
    let project = Project::new();
    let record = project.begin();
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert_eq!(project.state().function("f").unwrap(), Some(record.clone()));
    assert!(said.contains("run `rsfaas seal` again"), "{said}");
    assert_eq!(project.state().begun("f").unwrap(), Some(record));
    let again = project.run("seal");
    let said = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(8), "{said}");
    assert!(said.contains("run `rsfaas seal` again"), "{said}");
}

#[test]
fn a_sealed_function_whose_image_is_gone_from_its_registry_is_not_taken_for_finished() {
    let project = Project::at(
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\n\
         [{\"name\":\"f\",\"image\":\"registry.invalid/f:locked\"}]",
    );
    let mut record = project.begin();
    project.state().finish("f").unwrap();
    project.state().register(&record).unwrap();
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("already sealed"), "{said}");
    let registry = answering(
        "HTTP/1.1 404 Not Found\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n",
    );
    record.base_image = format!("{registry}/f:base");
    project.state().register(&record).unwrap();
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(
        said.contains("is gone") && said.contains("building and pushing"),
        "{said}"
    );
    assert_eq!(project.state().function("f").unwrap(), Some(record));
}

#[test]
fn a_sealed_function_that_is_not_deployed_is_not_taken_for_finished() {
    let project = Project::new();
    let record = project.begin();
    project.state().finish("f").unwrap();
    project.state().register(&record).unwrap();
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("what is deployed is not the locked function"),
        "{said}"
    );
    assert!(said.contains("deploying the locked function"), "{said}");
}

#[test]
fn a_sealing_that_was_begun_with_another_entry_begins_again() {
    let project = Project::new();
    let record = project.begin_with(&serde_json::json!({"limits": {"memory": "64q"}}));
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("building and pushing"), "{said}");
    assert_eq!(project.state().begun("f").unwrap(), Some(record));
    assert_eq!(project.state().function("f").unwrap(), None);
}

#[test]
fn a_sealing_whose_deployment_failed_can_be_gone_on_with() {
    let project = Project::new();
    let record = project.begin();
    project.faas_cli("echo no gateway >&2; exit 1");
    assert_eq!(project.run("seal").status.code(), Some(7));
    assert_eq!(project.state().function("f").unwrap(), None);
    assert_eq!(project.state().begun("f").unwrap(), Some(record));
}

#[test]
fn handlers_are_those_of_the_working_folder_and_otherwise_those_beside_the_stack_file() {
    let project = Project::new();
    project.begin();
    for folder in ["deploy", "elsewhere"] {
        fs::create_dir(project.path(folder)).unwrap();
    }
    let begun = |output: Output| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("f: sealed"), "{said}");
        said.contains("those of the working folder")
    };
    let beside = project.run_in("elsewhere", &["seal", "-f", "../stack.yaml"]);
    assert!(!begun(beside));
    fs::rename(
        project.path("stack.yaml"),
        project.path("deploy/stack.yaml"),
    )
    .unwrap();
    let working = project.run_in("", &["seal", "-f", "deploy/stack.yaml"]);
    assert!(begun(working));
    let neither = project.run_in("elsewhere", &["seal", "-f", "../deploy/stack.yaml"]);
    let said = String::from_utf8_lossy(&neither.stderr);
    assert_eq!(neither.status.code(), Some(10), "{said}");
    for folder in ["deploy/", "the working folder "] {
        assert!(said.contains(folder), "{said}");
    }
}

#[test]
fn a_function_that_could_not_be_built_is_not_unsealed() {
    let project = Project::new();
    project.begin();
    let output = project.run("unseal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(project.path("f").join(FILE_NAME).exists() && !project.path("f/Dockerfile").exists());
}

#[test]
fn a_function_is_forgotten_without_its_key_and_its_sealed_file_stays() {
    let project = Project::new();
    let record = project.begin();
    project.state().register(&record).unwrap();
    let output = project.forget("f");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("`faas-cli remove f`"), "{said}");
    assert_eq!(project.state().function("f").unwrap(), None);
    assert_eq!(project.state().begun("f").unwrap(), None);
    let sealed = project.run_in("", &["open", "./f"]);
    assert_eq!(sealed.status.code(), Some(0));
}

#[test]
fn a_function_that_is_not_known_is_not_forgotten() {
    let project = Project::new();
    let record = project.begin();
    project.state().register(&record).unwrap();
    // Where records of other folders, and of sealings that are not finished, would be.
    fs::write(project.path("state/outside.json"), "{}").unwrap();
    for name in ["g", "../outside", ".f"] {
        let output = project.forget(name);
        assert_eq!(output.status.code(), Some(4), "{name}");
    }
    assert!(project.path("state/outside.json").exists());
    assert_eq!(project.state().function("f").unwrap(), Some(record));
}

#[test]
fn what_a_forgotten_function_may_have_left_is_told() {
    let project = Project::new();
    project.begin();
    let config = fs::read_to_string(project.path("agent.toml")).unwrap();
    let (_, rest) = config.split_once('\n').unwrap();
    let wrong = format!("gateway = \"none\"\n{rest}");
    fs::write(project.path("agent.toml"), wrong).unwrap();
    let output = project.forget("f");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(13), "{said}");
    assert!(said.contains("containers may be left"), "{said}");
    assert_eq!(project.state().begun("f").unwrap(), None);
}
