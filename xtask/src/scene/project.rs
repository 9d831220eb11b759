//! The author's project folder: the example function, its templates, its key.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{PATIENCE, agent::Agent};
use crate::{
    error::{At as _, Error},
    files,
    process::{output, run},
    testbed::Testbed,
    workspace,
};

pub(crate) struct Project {
    folder: PathBuf,
    testbed: Testbed,
    program: PathBuf,
}

impl Project {
    /// A fresh project in a folder below `target`, for an rsfaas that was built.
    pub(crate) fn new(testbed: &Testbed, name: &str, program: &Path) -> Result<Self, Error> {
        let folder = workspace::root().join("target").join(name);
        Agent::none_runs_in(&folder)?;
        files::remove_folder(&folder)?;
        fs::create_dir_all(&folder).at(&folder)?;
        let functions = workspace::root().join("tests/functions");
        run(Command::new("cp")
            .arg("-r")
            .arg(functions.join("."))
            .arg(&folder))?;
        let project = Self {
            folder,
            testbed: testbed.clone(),
            program: program.to_owned(),
        };
        match &testbed.templates {
            Some(templates) => {
                run(Command::new("cp")
                    .arg("-rL")
                    .arg(templates.join("template"))
                    .arg(&project.folder))?;
            }
            None => {
                let language = "python3-flask-debian";
                run(project.faas().args(["template", "store", "pull", language]))?;
            }
        }
        let stack = project.folder.join("stack.yaml");
        let text = fs::read_to_string(&stack).at(&stack)?;
        let text = text
            .replace("127.0.0.1:5000/", &format!("{}/", testbed.registry_prefix))
            .replace("http://127.0.0.1:8080", &testbed.gateway);
        fs::write(&stack, text).at(&stack)?;
        Ok(project)
    }

    /// The program under show.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.join("pydict.key")
    }

    /// faas-cli in the project folder.
    pub(crate) fn faas(&self) -> Command {
        let mut command = Command::new(&self.testbed.faas_cli);
        self.testbed.lend(&mut command);
        command.current_dir(&self.folder);
        command
    }

    /// One step of faas-cli for one function; what it says is kept for the case that it fails.
    pub(crate) fn step(&self, step: &str, function: &str) -> Result<(), Error> {
        self.step_with(step, function, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn step_with(
        &self,
        step: &str,
        function: &str,
        variables: &[(&str, &str)],
    ) -> Result<(), Error> {
        let mut command = self.faas();
        command.envs(variables.iter().copied());
        output(command.args([step, "-f", "stack.yaml", "--filter", function])).map(drop)
    }

    pub(crate) fn build_push_deploy(&self, function: &str) -> Result<(), Error> {
        for step in ["build", "push", "deploy"] {
            println!("faas-cli {step} -f stack.yaml --filter {function}");
            self.step(step, function)?;
        }
        Ok(())
    }

    /// Makes the key and returns its text.
    pub(crate) fn keygen(&self) -> Result<String, Error> {
        println!("rsfaas keygen -o pydict.key");
        run(Command::new(&self.program)
            .args(["keygen", "-o"])
            .arg(self.key_file()))?;
        let key = self.key_file();
        Ok(fs::read_to_string(&key).at(&key)?.trim().to_owned())
    }

    /// Starts an agent with so many parked containers a function, and waits until it answers.
    pub(crate) fn start_agent(&self, standby: usize) -> Result<Agent, Error> {
        Agent::start(&self.testbed, &self.folder, &self.program, standby)
    }

    /// A key that opens nothing.
    pub(crate) fn other_key(&self) -> Result<String, Error> {
        Ok(output(Command::new(&self.program).arg("keygen"))?
            .trim()
            .to_owned())
    }

    pub(crate) fn seal(&self, function: &str, agent: &Agent) -> Result<(), Error> {
        self.seal_for(function, agent, "mount")
    }

    /// Seals a function, or seals it again, for one of the ways in which it may be rebuilt.
    pub(crate) fn seal_for(
        &self,
        function: &str,
        agent: &Agent,
        rebuild: &str,
    ) -> Result<(), Error> {
        self.seal_with(function, agent, &["--rebuild", rebuild])
    }

    /// The same, asked for by arguments.
    pub(crate) fn seal_with(
        &self,
        function: &str,
        agent: &Agent,
        arguments: &[&str],
    ) -> Result<(), Error> {
        println!("rsfaas seal -f stack.yaml --function {function} --key-file pydict.key");
        let mut command = Command::new(&self.program);
        self.testbed.lend(&mut command);
        command
            .current_dir(&self.folder)
            .args([
                "seal",
                "-f",
                "stack.yaml",
                "--function",
                function,
                "--key-file",
            ])
            .arg(self.key_file())
            .args(arguments)
            .arg("--config")
            .arg(agent.config());
        run(&mut command)
    }

    pub(crate) fn sealed_bytes(&self, function: &str) -> Result<Vec<u8>, Error> {
        let path = self.sealed(function);
        fs::read(&path).at(&path)
    }

    pub(crate) fn inspect(&self, function: &str) -> Result<String, Error> {
        output(
            Command::new(&self.program)
                .arg("inspect")
                .arg(self.sealed(function)),
        )
    }

    /// Waits until a function's handler is encrypted afresh after some work, and tells how long that takes. The
    /// file is another one then: asking the agent would take more of the host's time.
    pub(crate) fn reencrypted_after<T>(
        &self,
        function: &str,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<(T, Duration), Error> {
        let path = self.sealed(function);
        let file = || Ok::<_, Error>(fs::metadata(&path).at(&path)?.ino());
        let before = file()?;
        let done = work()?;
        let start = Instant::now();
        while file()? == before {
            if start.elapsed() > PATIENCE {
                return Err(Error::NotSeen(format!("{function} encrypted afresh")));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok((done, start.elapsed()))
    }

    fn sealed(&self, function: &str) -> PathBuf {
        self.folder.join(function).join("handler.sealed")
    }

    /// The names of the files in a function's handler folder.
    pub(crate) fn listing(&self, function: &str) -> Result<String, Error> {
        let folder = self.folder.join(function);
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).at(&folder)? {
            names.push(
                entry
                    .at(&folder)?
                    .file_name()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
        names.sort();
        Ok(names.join(" "))
    }

    /// The functions that the gateway has, sorted.
    pub(crate) fn deployed(&self) -> Result<Vec<String>, Error> {
        let list = output(self.faas().args(["list", "--quiet", "-f", "stack.yaml"]))?;
        let mut names: Vec<String> = list.lines().map(|name| name.trim().to_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// Removes deployed functions.
    pub(crate) fn remove(&self, functions: &[&str]) -> Result<(), Error> {
        remove_each(functions, Duration::from_secs(1), |function| {
            output(self.faas().args(["remove", function])).map(drop)
        })
    }
}

/// Removes all that can be removed, and tells the first error. faasd gives up on a container that takes longer than
/// five seconds to end, and has killed it by the next time: each is tried twice.
fn remove_each(
    functions: &[&str],
    pause: Duration,
    remove: impl Fn(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    let twice = |function: &&str| {
        remove(function).or_else(|_| {
            thread::sleep(pause);
            remove(function)
        })
    };
    functions.iter().map(twice).fold(Ok(()), Result::and)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What comes of the removal of three functions, and which were tried, where some fail so often.
    fn removal(failures: &[(&str, usize)]) -> (Result<(), Error>, Vec<String>) {
        let tried = RefCell::new(Vec::new());
        let removed = remove_each(&["a", "b", "c"], Duration::ZERO, |function| {
            tried.borrow_mut().push(function.to_owned());
            let times = tried.borrow().iter().filter(|one| *one == function).count();
            match failures.iter().find(|(name, _)| *name == function) {
                Some((_, failing)) if times <= *failing => Err(Error::NotSeen(function.to_owned())),
                _ => Ok(()),
            }
        });
        (removed, tried.into_inner())
    }

    #[test]
    fn a_function_that_could_not_be_removed_is_tried_once_more() {
        let (removed, tried) = removal(&[("b", 1)]);
        removed.unwrap();
        assert_eq!(tried, ["a", "b", "b", "c"]);
    }

    #[test]
    fn a_function_that_stays_keeps_no_other_one_and_the_first_is_told() {
        let (removed, tried) = removal(&[("a", 2), ("b", 2)]);
        assert_eq!(removed.unwrap_err().to_string(), "not seen: a");
        assert_eq!(tried, ["a", "a", "b", "b", "c"]);
    }
}
