//! Projects to seal.
use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rsfaas::{
    seal::{FILE_NAME, folder::seal_built, key::Key},
    stack::StackFile,
    state::{SealedFunction, StateDir},
};

use crate::{
    engine,
    server::{answering, tell},
};

/// A project whose functions are `f` and those that are added, each with an image that is built from its handler.
pub(crate) struct Project {
    root: tempfile::TempDir,
    key: Key,
    engine: Option<PathBuf>,
}

impl Project {
    pub(crate) fn new() -> Self {
        Self::at(&tell("200 OK", "[]"))
    }

    /// At a gateway that answers this.
    pub(crate) fn at(answer: &(impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::at_address(&format!("http://{}", answering(answer.as_ref())))
    }

    /// At the gateway of this address.
    pub(crate) fn at_address(gateway: &str) -> Self {
        let project = Self {
            root: tempfile::tempdir().unwrap(),
            key: Key::generate().unwrap(),
            engine: None,
        };
        let at = |path: &str| project.path(path);
        fs::write(at("f.key"), project.key.to_text().as_bytes()).unwrap();
        fs::set_permissions(at("f.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let stack = format!("provider: {{name: openfaas, gateway: '{gateway}'}}\nfunctions:\n");
        fs::write(at("stack.yaml"), stack).unwrap();
        let (faas_cli, state, socket) = (at("faas-cli"), at("state"), at("agent.sock"));
        let config = format!(
            "gateway = {gateway:?}\nfaas_cli = {faas_cli:?}\nstate_dir = {state:?}\ncontrol_socket = {socket:?}\n"
        );
        fs::write(at("agent.toml"), config).unwrap();
        project.faas_cli("exit 0");
        project.add("f");
        project
    }

    /// With an engine that is there and has nothing.
    pub(crate) fn with_engine(mut self) -> Self {
        self.engine = Some(engine::empty(self.root.path()));
        self
    }

    /// With an engine that has this image.
    pub(crate) fn with_image(mut self, name: &str) -> Self {
        self.engine = Some(engine::with_image(self.root.path(), name));
        self
    }

    /// A further function.
    pub(crate) fn add(&self, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
        let dockerfile = self.path(name).join("Dockerfile");
        fs::write(dockerfile, "FROM scratch\nCOPY . /\n").unwrap();
        let entry = format!(
            "  {name}: {{lang: dockerfile, handler: ./{name}, image: registry.invalid/{name}}}\n"
        );
        let stack = fs::read_to_string(self.path("stack.yaml")).unwrap() + &entry;
        fs::write(self.path("stack.yaml"), stack).unwrap();
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn state(&self) -> StateDir {
        StateDir::new(self.path("state"))
    }

    /// Makes faas-cli another script. Another process writes it: a child that a test on another thread forks meanwhile
    /// would keep the file open for writing, and nobody could run it.
    pub(crate) fn faas_cli(&self, text: &str) {
        let mut child = Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
            .arg(self.path("faas-cli"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        write!(stdin, "#!/bin/sh\n{text}\n").unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }

    /// As an earlier run has left `f` that was killed when the handler was encrypted.
    pub(crate) fn begin(&self) -> SealedFunction {
        self.begin_function("f")
    }

    /// The same of any function.
    pub(crate) fn begin_function(&self, name: &str) -> SealedFunction {
        let stack = StackFile::read(&self.path("stack.yaml")).unwrap();
        let function = stack.functions(Some(name)).unwrap().remove(0);
        self.begin_with(name, &function.entry)
    }

    /// The same with an entry of the stack file that was there then.
    pub(crate) fn begin_with(&self, name: &str, entry: &serde_json::Value) -> SealedFunction {
        let handler = self.path(name);
        seal_built(&handler, name, &self.key, 1, None, &|_| false).unwrap();
        let image = |tag: &str| format!("registry.invalid/{name}:{tag}");
        let record = serde_json::json!({
            "name": name, "sealed": handler.join(FILE_NAME), "base_image": image("base"),
            "locked_image": image("locked"), "handler_dir": "/app", "park": "container",
            "upstream_port": 8080, "stack": entry,
        });
        let record: SealedFunction = serde_json::from_value(record).unwrap();
        self.state().begin(&record).unwrap();
        record
    }

    pub(crate) fn run(&self, command: &str) -> Output {
        self.run_in("", &[command])
    }

    /// In a folder of the project, with these arguments.
    pub(crate) fn run_in(&self, folder: &str, arguments: &[&str]) -> Output {
        let key = self.path("f.key").into_os_string();
        self.rsfaas(folder, arguments)
            .args(["--key-file".into(), key])
            .output()
            .unwrap()
    }

    pub(crate) fn forget(&self, name: &str) -> Output {
        self.rsfaas("", &["forget", name]).output().unwrap()
    }

    fn rsfaas(&self, folder: &str, arguments: &[&str]) -> Command {
        let engine = self.engine.as_deref();
        let engine = engine.unwrap_or(Path::new("/nonexistent/docker.sock"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_rsfaas"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("agent.toml"))
            .env("DOCKER_HOST", format!("unix://{}", engine.display()))
            .current_dir(self.path(folder));
        command
    }
}
