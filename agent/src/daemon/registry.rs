//! The sealed functions that the agent serves, kept in step with the state folder.
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use agent_ebpf::NameKind;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    config::Config,
    lease::{Driver, Message, Timeline, Verdict},
    rebuild::{Host, Rebuilder, UnlockedNames},
    spot::{Names, SpotError},
    state::{SealedFunction, StateDir, StateError},
};

/// What every function's driver is given.
pub(super) struct Surroundings {
    pub(super) config: Config,
    pub(super) host: Host,
    pub(super) verdicts: mpsc::UnboundedSender<Verdict>,
    pub(super) timelines: mpsc::UnboundedSender<Timeline>,
}

/// The functions, by name.
pub(super) struct Registry {
    surroundings: Surroundings,
    table: Names,
    functions: BTreeMap<String, Served>,
    unlocked: HashMap<String, String>,
}

struct Served {
    record: SealedFunction,
    messages: mpsc::UnboundedSender<Message>,
    task: JoinHandle<()>,
}

impl Registry {
    pub(super) fn new(surroundings: Surroundings, table: Names) -> Self {
        Self {
            surroundings,
            table,
            functions: BTreeMap::new(),
            unlocked: HashMap::new(),
        }
    }

    /// Whether a name is a sealed function's.
    pub(super) fn is_sealed(&self, name: &str) -> bool {
        self.functions.contains_key(name)
    }

    /// Whether a name is an unlocked container's.
    pub(super) fn is_unlocked(&self, name: &str) -> bool {
        self.unlocked.contains_key(name)
    }

    /// Where a sealed function's lease takes messages.
    pub(super) fn lease(&self, name: &str) -> Option<&mpsc::UnboundedSender<Message>> {
        self.functions.get(name).map(|served| &served.messages)
    }

    /// Every function's lease.
    pub(super) fn leases(&self) -> impl Iterator<Item = &mpsc::UnboundedSender<Message>> {
        self.functions.values().map(|served| &served.messages)
    }

    /// Follows the state folder: starts what is new, stops what is gone, restarts what has changed.
    ///
    /// # Errors
    /// When the folder cannot be read. A single record that cannot is logged, and its function, which
    /// still has its locked answer, left out.
    pub(super) async fn follow(&mut self, state: &StateDir) -> Result<(), StateError> {
        let mut records = BTreeMap::new();
        for record in state.all()? {
            match record {
                Ok(record) => {
                    records.insert(record.name.clone(), record);
                }
                Err(error) => tracing::error!(%error, "a function is left out"),
            }
        }
        let stale: Vec<String> = self
            .functions
            .iter()
            .filter(|(name, served)| records.get(*name) != Some(&served.record))
            .map(|(name, _)| name.clone())
            .collect();
        for name in stale {
            self.stop(&name).await;
        }
        for (name, record) in records {
            if !self.functions.contains_key(&name)
                && let Err(error) = self.start(record)
            {
                tracing::error!(function = name, %error, "a function is left out");
            }
        }
        Ok(())
    }

    /// Ends every lease, removes everything parked.
    pub(super) async fn stop_all(&mut self) {
        for lease in self.leases() {
            // A driver that has ended needs no stop.
            let _ = lease.send(Message::Stop);
        }
        let names: Vec<String> = self.functions.keys().cloned().collect();
        for name in names {
            self.stop(&name).await;
        }
    }

    fn start(&mut self, record: SealedFunction) -> Result<(), SpotError> {
        let Surroundings {
            config,
            host,
            verdicts,
            timelines,
        } = &self.surroundings;
        let rebuilder = Rebuilder::new(record.clone(), host.clone());
        let driver = Driver::new(
            Arc::new(rebuilder),
            config,
            verdicts.clone(),
            timelines.clone(),
        );
        for slot in 0..UnlockedNames::slots(config.standby) {
            let container = host.names.of(&record.name, slot);
            self.table.insert(&container, NameKind::Unlocked)?;
            self.unlocked.insert(container, record.name.clone());
        }
        self.table.insert(&record.name, NameKind::Sealed)?;
        let (messages, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(driver.run(inbox));
        tracing::info!(function = record.name, "sealed function taken up");
        self.functions.insert(
            record.name.clone(),
            Served {
                record,
                messages,
                task,
            },
        );
        Ok(())
    }

    async fn stop(&mut self, name: &str) {
        let Some(served) = self.functions.remove(name) else {
            return;
        };
        // A driver that has ended needs no stop.
        let _ = served.messages.send(Message::Stop);
        if let Err(error) = served.task.await {
            tracing::error!(function = name, %error, "the lease's driver broke off");
        }
        let gone: Vec<String> = self
            .unlocked
            .iter()
            .filter(|(_, function)| *function == name)
            .map(|(container, _)| container.clone())
            .collect();
        for container in gone.iter().map(String::as_str).chain([name]) {
            self.unlocked.remove(container);
            if let Err(error) = self.table.remove(container) {
                tracing::warn!(container, %error, "the table of names");
            }
        }
        tracing::info!(function = name, "no longer served");
    }
}
