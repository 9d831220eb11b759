//! What a test gets: a host with an agent, and functions that are sealed.
use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

use crate::{
    agent::Agent,
    author::{self, Author},
    canary::Canary,
    faas_cli::FaasCli,
    host::{self, Error, Host, check, joined},
    turns::Turns,
};

pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) author: Author,
    pub(crate) agent: Agent,
    /// Of `pydict`.
    pub(crate) canary: Canary,
    pub(crate) turns: Turns,
    /// The faas-cli of an agent that is to be told when to go on.
    pub(crate) faas_cli: OnceLock<FaasCli>,
    /// Those that are sealed.
    functions: Mutex<Vec<&'static str>>,
    /// Held by whoever puts things right.
    recovering: Mutex<()>,
}

impl World {
    /// Starts an agent and seals the functions.
    pub(crate) fn prepare() -> Result<Self, Error> {
        let host = Host::from_environment()?;
        let author = Author::new(&host)?;
        let canary = Canary::plant(&author, "pydict")?;
        let agent = Agent::start(&host)?;
        is_where_it_was_asked_for(&host, &agent)?;
        let functions = match host::fault_times() {
            Some(_) => &["pydict"],
            None => author::FUNCTIONS,
        };
        let world = Self {
            host,
            author,
            agent,
            canary,
            turns: Turns::default(),
            faas_cli: OnceLock::new(),
            functions: Mutex::new(functions.to_vec()),
            recovering: Mutex::default(),
        };
        if let Err(error) = world.seal(functions) {
            // Some of them may not be deployed yet, and what went wrong first is what is told.
            let _ = world.take_down();
            return Err(error);
        }
        Ok(world)
    }

    fn seal(&self, functions: &[&str]) -> Result<(), Error> {
        println!("preparing: building, sealing and parking the test functions");
        thread::scope(|scope| {
            let deploying: Vec<_> = functions
                .iter()
                .map(|function| scope.spawn(|| self.author.deploy(&self.host, function)))
                .collect();
            deploying.into_iter().try_for_each(|it| joined(it.join()))
        })?;
        for function in functions {
            self.author.seal(&self.host, &self.agent, function)?;
        }
        for function in functions {
            self.agent.wait_until_locked(function)?;
        }
        Ok(())
    }

    /// Removes the functions that are not among those that are needed still: each costs a container
    /// whenever the agent starts.
    pub(crate) fn keep_only(&self, needed: &[&str]) -> Result<(), Error> {
        let mut functions = ignoring_panics(&self.functions);
        let (mut kept, removed): (Vec<_>, Vec<_>) = functions
            .iter()
            .partition(|function| needed.contains(function));
        let mut results = Vec::new();
        for function in removed {
            let removed = self
                .agent
                .forget(function)
                .and_then(|()| self.author.remove(&self.host, function));
            if removed.is_err() {
                // Tried again at the end.
                kept.push(function);
            }
            results.push(removed);
        }
        *functions = kept;
        all(results)
    }

    /// Whatever a case that has failed left behind: the agent runs as it does by default, and what the case has worked with
    /// is sealed as it was. Where others run beside it, the agent is theirs too, and begins anew only if it has ended.
    pub(crate) fn recover(&self, functions: &[&'static str]) -> Result<(), Error> {
        let _recovering = ignoring_panics(&self.recovering);
        let alone = functions.is_empty();
        if alone || !self.agent.runs()? {
            self.agent.end();
            self.agent.disarm()?;
            match self.faas_cli.get() {
                Some(faas_cli) => {
                    faas_cli.set("work")?;
                    self.agent.restart_with(&faas_cli.setting())?;
                }
                None => self.agent.restart()?,
            }
        }
        let sealed = ignoring_panics(&self.functions).clone();
        let touched = |function: &&&str| alone || functions.contains(*function);
        for function in sealed.iter().filter(touched) {
            self.author.seal_again(&self.host, &self.agent, function)?;
            self.agent.wait_until_locked(function)?;
        }
        Ok(())
    }

    /// Ends the agent, and removes the functions and both folders; what fails keeps nothing else from it.
    pub(crate) fn take_down(&self) -> Result<(), Error> {
        let mut results = vec![self.agent.stop()];
        self.agent.end();
        let functions = ignoring_panics(&self.functions);
        let removed = |function: &&str| self.author.remove(&self.host, function);
        results.extend(functions.iter().map(removed));
        results.extend([self.author.remove_folder(), self.agent.remove_folder()]);
        all(results)
    }
}

/// The agent serves an interface at TC where it cannot at XDP; but not all of them.
fn is_where_it_was_asked_for(host: &Host, agent: &Agent) -> Result<(), Error> {
    let Some(attach) = &host.attach else {
        return Ok(());
    };
    let interfaces = agent.status()?["interfaces"].clone();
    let hooks = interfaces.as_array().into_iter().flatten();
    let mut hooks = hooks.filter_map(|interface| interface["attached"].as_str());
    check!(
        hooks.any(|hook| hook.starts_with(attach.as_str())),
        "no interface is served at {attach}: {interfaces}"
    );
    Ok(())
}

/// What a case that broke off has left is as good as any.
fn ignoring_panics<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every error among some results.
fn all(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    let errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    let told: Vec<_> = errors.iter().map(Error::to_string).collect();
    check!(told.is_empty(), "{}", told.join("\n"));
    Ok(())
}
