//! What a test gets: a host with an agent, and functions that are sealed.
use std::{
    sync::{Mutex, PoisonError},
    thread,
};

use crate::{
    agent::Agent,
    author::{self, Author},
    canary::Canary,
    host::{self, Error, Host, joined},
    turns::Turns,
};

pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) author: Author,
    pub(crate) agent: Agent,
    /// Of `pydict`.
    pub(crate) canary: Canary,
    pub(crate) turns: Turns,
    /// Those that are sealed.
    functions: Mutex<Vec<&'static str>>,
}

impl World {
    /// Starts an agent and seals the functions.
    pub(crate) fn prepare() -> Result<Self, Error> {
        let host = Host::from_environment()?;
        let author = Author::new(&host)?;
        let canary = Canary::plant(&author, "pydict")?;
        let agent = Agent::start(&host)?;
        let functions = match host::fault_times() {
            Some(_) => &["pydict"],
            None => author::FUNCTIONS,
        };
        println!("preparing: building, sealing and parking the test functions");
        thread::scope(|scope| {
            let deploying: Vec<_> = functions
                .iter()
                .map(|function| scope.spawn(|| author.deploy(&host, function)))
                .collect();
            deploying.into_iter().try_for_each(|it| joined(it.join()))
        })?;
        for function in functions {
            author.seal(&host, &agent, function)?;
        }
        for function in functions {
            agent.wait_until_locked(function)?;
        }
        Ok(Self {
            host,
            author,
            agent,
            canary,
            turns: Turns::default(),
            functions: Mutex::new(functions.to_vec()),
        })
    }

    /// Removes the functions that are not among those that are needed still: each costs a container
    /// whenever the agent starts.
    pub(crate) fn keep_only(&self, needed: &[&str]) -> Result<(), Error> {
        let mut functions = self
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (kept, removed): (Vec<_>, Vec<_>) = functions
            .iter()
            .partition(|function| needed.contains(function));
        *functions = kept;
        for function in removed {
            self.agent.forget(function)?;
            self.author.remove(&self.host, function)?;
        }
        Ok(())
    }

    /// Ends the agent, and removes the functions and both folders.
    pub(crate) fn take_down(&self) -> Result<(), Error> {
        let stopped = self.agent.stop();
        let functions = self
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for function in functions.iter() {
            self.author.remove(&self.host, function)?;
        }
        self.author.remove_folder()?;
        self.agent.remove_folder()?;
        stopped
    }
}
