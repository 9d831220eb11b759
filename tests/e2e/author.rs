//! The author of the test functions: a project folder, keys, and what authors do with them.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{PoisonError, RwLock, RwLockWriteGuard},
    thread,
    time::Duration,
};

use crate::{
    agent::Agent,
    host::{Error, Host, check, eventually, fail, run},
};

/// The test functions, each with a key of its own.
pub(crate) const FUNCTIONS: &[&str] = &["pydict", "echo-headers", "packages", "events"];

/// What may lie in the folder of a sealed function.
const READABLE: [&str; 5] = [
    "handler.sealed",
    "requirements.txt",
    "package.json",
    "package-lock.json",
    "go.mod",
];

/// Upstream's templates for Node.js, the newest first.
const NODE: [&str; 3] = ["node22", "node20", "node18"];

/// A project folder.
pub(crate) struct Author {
    folder: tempfile::TempDir,
    /// Whoever seals has the registry's garbage collected, with which what somebody else is pushing may go.
    pushes: RwLock<()>,
}

impl Author {
    /// Copies the test functions and the templates, so that the checkout stays as it is.
    pub(crate) fn new(host: &Host) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        run(Command::new("cp")
            .arg("-r")
            .arg(host.functions.join("."))
            .arg(folder.path()))?;
        let templates = folder.path().join("template");
        run(Command::new("cp")
            .arg("-rL")
            .arg(host.templates.join("template"))
            .arg(&templates))?;
        name_node(&templates)?;
        let stack = folder.path().join("stack.yaml");
        let text = fs::read_to_string(&stack)?
            .replace("127.0.0.1:5000/", &host.image_prefix)
            .replace(
                "http://127.0.0.1:8080",
                &format!("http://127.0.0.1:{}", host.port),
            );
        fs::write(&stack, text)?;
        Ok(Self {
            folder,
            pushes: RwLock::new(()),
        })
    }

    /// The whole of it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Removes it.
    pub(crate) fn remove_folder(&self) -> Result<(), Error> {
        Ok(fs::remove_dir_all(self.folder.path())?)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a function's sealed handler is.
    pub(crate) fn sealed(&self, function: &str) -> PathBuf {
        self.path(function).join("handler.sealed")
    }

    /// The key's text, as a caller would have it.
    pub(crate) fn key(&self, function: &str) -> Result<String, Error> {
        Ok(fs::read_to_string(self.key_file(function))?
            .trim()
            .to_owned())
    }

    pub(crate) fn key_file(&self, function: &str) -> PathBuf {
        self.path(&format!("{function}.key"))
    }

    /// From now on the key is another one.
    pub(crate) fn replace_key(&self, function: &str, key: &str) -> Result<(), Error> {
        Ok(fs::write(self.key_file(function), format!("{key}\n"))?)
    }

    /// Waits until nobody else pushes, seals or unseals.
    pub(crate) fn sealing(&self) -> RwLockWriteGuard<'_, ()> {
        self.pushes.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The classic flow: build, push, deploy.
    pub(crate) fn deploy(&self, host: &Host, function: &str) -> Result<(), Error> {
        for step in ["build", "push", "deploy"] {
            let pushing = || self.pushes.read().unwrap_or_else(PoisonError::into_inner);
            let _pushing = (step == "push").then(pushing);
            let function = ["-f", "stack.yaml", "--filter", function];
            run(self.faas(host).arg(step).args(function))?;
        }
        Ok(())
    }

    /// `keygen` and `seal`; what `seal` said.
    pub(crate) fn seal(&self, host: &Host, agent: &Agent, function: &str) -> Result<String, Error> {
        let key = self.key_file(function);
        if !key.exists() {
            run(host.rsfaas().args(["keygen", "-o"]).arg(&key))?;
        }
        let sealing = self.sealing();
        let output = self.seal_command(host, agent, function).output()?;
        drop(sealing);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        check!(output.status.success(), "seal failed:\n{said}");
        self.check_sealed(function)?;
        Ok(said)
    }

    /// Seals a function as it is by default, where it is not sealed so, and has the agent know it.
    pub(crate) fn seal_again(
        &self,
        host: &Host,
        agent: &Agent,
        function: &str,
    ) -> Result<(), Error> {
        let defaults = [("rebuild", "mount"), ("isolation", "shared")];
        let has_defaults = |known: serde_json::Value| {
            defaults
                .iter()
                .all(|(setting, value)| known[*setting] == *value)
        };
        let is_sealed = self.check_sealed(function).is_ok();
        if is_sealed && agent.function(function).is_ok_and(has_defaults) {
            return Ok(());
        }
        let _sealing = self.sealing();
        let mut seal = self.seal_command(host, agent, function);
        for (setting, value) in defaults {
            seal.args([&format!("--{setting}"), value]);
        }
        run(&mut seal)?;
        eventually("the agent to take it up", || {
            Ok(agent.function(function).is_ok_and(has_defaults))
        })
    }

    /// Makes sure that nothing but the sealed handler and dependency manifests is in a handler folder.
    pub(crate) fn check_sealed(&self, function: &str) -> Result<(), Error> {
        let left = plain_files(&self.path(function))?;
        check!(
            left.is_empty(),
            "something is left beside the sealed handler: {left:?}"
        );
        Ok(())
    }

    /// `open`: the handler folder, in one of its own.
    pub(crate) fn open(&self, host: &Host, function: &str) -> Result<tempfile::TempDir, Error> {
        let folder = tempfile::tempdir()?;
        let mut open = host.rsfaas();
        open.arg("open")
            .arg(self.sealed(function))
            .arg("--key-file")
            .arg(self.key_file(function));
        run(open.arg("-o").arg(folder.path().join("handler")))?;
        Ok(folder)
    }

    /// `seal`, not run yet.
    pub(crate) fn seal_command(&self, host: &Host, agent: &Agent, function: &str) -> Command {
        let mut command = host.rsfaas();
        command
            .current_dir(self.folder.path())
            .args([
                "seal",
                "-f",
                "stack.yaml",
                "--function",
                function,
                "--key-file",
            ])
            .arg(self.key_file(function))
            .arg("--config")
            .arg(agent.config());
        command
    }

    /// `unseal`.
    pub(crate) fn unseal(&self, host: &Host, agent: &Agent, function: &str) -> Result<(), Error> {
        let mut command = host.rsfaas();
        command
            .current_dir(self.folder.path())
            .args([
                "unseal",
                "-f",
                "stack.yaml",
                "--function",
                function,
                "--key-file",
            ])
            .arg(self.key_file(function))
            .arg("--config")
            .arg(agent.config());
        let _sealing = self.sealing();
        run(&mut command).map(drop)
    }

    /// Removes the deployed function. faasd gives up on one that takes longer than five seconds to end, as
    /// upstream's watchdog does while it drains, and has killed it by the next time.
    pub(crate) fn remove(&self, host: &Host, function: &str) -> Result<(), Error> {
        let remove = || run(self.faas(host).args(["remove", function])).map(drop);
        remove().or_else(|_| {
            thread::sleep(Duration::from_secs(1));
            remove()
        })
    }

    fn faas(&self, host: &Host) -> Command {
        let mut command = Command::new("faas-cli");
        command
            .current_dir(self.folder.path())
            .env("OPENFAAS_URL", format!("http://127.0.0.1:{}", host.port));
        command
    }
}

/// Upstream's templates for Node.js have its version in their names: the newest is the one to test.
fn name_node(templates: &Path) -> Result<(), Error> {
    let node = templates.join("node");
    let newest = NODE
        .iter()
        .map(|name| templates.join(name))
        .find(|template| template.is_dir());
    match newest {
        Some(newest) if !node.exists() => Ok(fs::rename(newest, node)?),
        _ => Ok(()),
    }
}

/// What in a sealed handler folder is neither the sealed handler nor a dependency manifest.
fn plain_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut left = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return fail("a file name that is no text");
        };
        if !READABLE.contains(&name) {
            left.push(path);
        }
    }
    Ok(left)
}
