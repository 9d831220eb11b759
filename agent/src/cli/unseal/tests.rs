//! `rsfaas unseal` beside an agent that serves the function; faas-cli is a script.
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    path::PathBuf,
    thread,
    time::Duration,
};

use clap::Parser as _;

use super::*;
use crate::{
    cli::{self, Cli},
    control::{Reply, Status},
    eventually::eventually_without_tasks,
    lease::{FunctionStatus, Phase, example},
    memory_protection::Swap,
    script,
    seal::{FILE_NAME, folder::seal_folder},
    state::{SealedFunction, StateDir},
};

/// The sealed function `f`, with its record.
struct Project {
    root: tempfile::TempDir,
    state: StateDir,
}

impl Project {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::new(root.path().join("state"));
        let project = Self { root, state };
        let key = Key::generate().unwrap();
        fs::write(project.path("f.key"), key.to_text().as_bytes()).unwrap();
        fs::create_dir(project.path("f")).unwrap();
        fs::write(project.path("f/handler.py"), "source").unwrap();
        seal_folder(&project.path("f"), "f", &key, 1).unwrap();
        let stack = "provider: {name: openfaas, gateway: 'http://gateway.invalid'}\nfunctions:\n  \
                     f: {lang: python3, handler: ./f, image: i}\n";
        fs::write(project.path("stack.yaml"), stack).unwrap();
        let config = format!(
            "faas_cli = {:?}\nstate_dir = {:?}\ncontrol_socket = {:?}\n",
            script::write(&project.path("faas-cli"), "exit 0"),
            project.state.root(),
            project.path("agent.sock")
        );
        fs::write(project.path("agent.toml"), config).unwrap();
        let record = serde_json::json!({
            "name": "f", "sealed": project.sealed(), "base_image": "b", "locked_image": "l",
            "handler_dir": "/f", "park": "python", "upstream_port": 5000, "stack": {},
        });
        let record: SealedFunction = serde_json::from_value(record).unwrap();
        project.state.register(&record).unwrap();
        project
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn sealed(&self) -> PathBuf {
        self.path("f").join(FILE_NAME)
    }

    fn is_registered(&self) -> bool {
        self.state.function("f").unwrap().is_some()
    }

    fn unseal(&self) -> Result<(), Failure> {
        self.unseal_with(&[], "i:latest")
    }

    /// Unseals with further arguments, where this image is deployed.
    fn unseal_with(&self, further: &[&str], image: &str) -> Result<(), Failure> {
        let at = |file: &str| self.path(file).into_os_string();
        let arguments = [
            "rsfaas".into(),
            "unseal".into(),
            "-f".into(),
            at("stack.yaml"),
            "--config".into(),
            at("agent.toml"),
            "--key-file".into(),
            at("f.key"),
        ];
        let arguments = arguments.into_iter().chain(further.iter().map(Into::into));
        let cli::Command::Unseal(args) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("another subcommand");
        };
        let (setting, key) = (args.stack.read()?, args.key.read()?);
        let deployed = [("f".to_owned(), image.to_owned())].into();
        wait_for_without_signals(unseal_all(&setting, &key, &deployed))
    }

    /// An agent with an open lease: once the function is not registered any more, it replaces the sealed file a
    /// little later, and only then lets go of it.
    fn agent(&self) {
        let listener = UnixListener::bind(self.path("agent.sock")).unwrap();
        let (state, sealed) = (self.state.clone(), self.sealed());
        let of_lease = state.clone();
        let lease = thread::spawn(move || {
            eventually_without_tasks("the function to be on no list", || {
                of_lease.function("f").unwrap().is_none()
            });
            thread::sleep(Duration::from_millis(300));
            fs::write(&sealed, "encrypted afresh").unwrap();
        });
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                // Busy with ending its lease at first.
                let busy = state.function("f").unwrap().is_none() && !lease.is_finished();
                let served = (!lease.is_finished() && !busy).then(served);
                let reply = Reply::Status(Box::new(Status {
                    version: String::new(),
                    pid: 1,
                    port: 8080,
                    interfaces: Vec::new(),
                    swap: Swap::default(),
                    functions: served.into_iter().collect(),
                    busy: busy.then(|| "f".to_owned()).into_iter().collect(),
                    counters: BTreeMap::new(),
                    timelines: Vec::new(),
                }));
                let mut answer = serde_json::to_vec(&reply).unwrap();
                answer.push(b'\n');
                stream.write_all(&answer).unwrap();
            }
        });
    }
}

fn served() -> FunctionStatus {
    FunctionStatus {
        phase: Phase::Unlocked,
        connections: 1,
        unlocks: 1,
        ..example::locked("f")
    }
}

#[test]
fn the_sealed_file_goes_once_the_agent_has_ended_the_lease_and_stays_gone() {
    let project = Project::new();
    project.agent();
    project.unseal().unwrap();
    assert!(!project.is_registered());
    thread::sleep(Duration::from_millis(600));
    assert!(!project.sealed().exists());
    assert!(project.path("f/handler.py").exists());
}

#[test]
fn a_function_whose_files_cannot_be_given_back_is_served_as_before() {
    let project = Project::new();
    fs::write(project.path("f/handler.py"), "another one").unwrap();
    assert_eq!(project.unseal().unwrap_err().exit(), Exit::Exists);
    assert!(project.is_registered() && project.sealed().exists());
}

#[test]
fn without_an_agent_there_is_nobody_to_wait_for() {
    let project = Project::new();
    project.unseal().unwrap();
    assert!(!project.is_registered() && !project.sealed().exists());
}

#[test]
fn a_build_that_fails_says_that_the_folder_is_plain_and_what_to_do() {
    let project = Project::new();
    script::write(&project.path("faas-cli"), "echo no space >&2; exit 1");
    let failure = project.unseal().unwrap_err();
    assert_eq!(failure.exit(), Exit::Images);
    let said = failure.to_string();
    assert!(
        said.contains("no space") && said.contains("plain now: run `rsfaas unseal` again"),
        "{said}"
    );
    assert!(project.path("f/handler.py").exists());
}

#[test]
fn a_plain_function_is_deployed_where_it_was_named_or_is_still_locked_and_otherwise_left_out() {
    let project = Project::new();
    project.unseal().unwrap();
    script::write(&project.path("faas-cli"), "echo \"$1\" >> \"$0.steps\"");
    let steps = |further: &[&str], image: &str| {
        project.unseal_with(further, image).unwrap();
        let steps = fs::read_to_string(project.path("faas-cli.steps")).unwrap_or_default();
        let _ = fs::remove_file(project.path("faas-cli.steps"));
        steps
    };
    assert_eq!(steps(&[], "i:latest"), "");
    assert_eq!(steps(&[], "i:rsfaas-locked-1"), "build\npush\ndeploy\n");
    assert_eq!(
        steps(&["--function", "f"], "i:latest"),
        "build\npush\ndeploy\n"
    );
}

#[test]
fn a_function_that_is_sealed_in_another_folder_stays_as_it_is() {
    let project = Project::new();
    fs::create_dir(project.path("other")).unwrap();
    let stack = fs::read_to_string(project.path("stack.yaml")).unwrap();
    fs::write(project.path("stack.yaml"), stack.replace("./f", "./other")).unwrap();
    let failure = project.unseal().unwrap_err();
    assert_eq!(failure.exit(), Exit::Stack);
    assert!(failure.to_string().contains("/other"), "{failure}");
    assert!(project.is_registered() && project.sealed().exists());
}
