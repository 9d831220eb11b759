//! The sealed functions that the agent serves, kept in step with the state folder.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::{
    sync::mpsc,
    task::{Id, JoinSet},
};

use super::{listing::Listing, records::Records};
use crate::{
    config::Config,
    lease::{Door, Driver, Message, Verdict},
    rebuild::{Host, Rebuilder},
    spot::{Admissions, Names, SpotError},
    state::{SealedFunction, StateDir, StateError},
    timeline::Timeline,
};

/// What every function's driver is given.
pub(super) struct Surroundings {
    pub(super) config: Config,
    pub(super) host: Host,
    pub(super) verdicts: mpsc::UnboundedSender<Verdict>,
    pub(super) timelines: mpsc::UnboundedSender<Timeline>,
    pub(super) admissions: Arc<Admissions>,
}

/// The functions, by name.
pub(super) struct Registry {
    surroundings: Surroundings,
    listing: Listing,
    functions: BTreeMap<String, Served>,
    drivers: JoinSet<()>,
    /// Whether there is something in the state folder that could not be read.
    is_behind: bool,
    /// What is said of it already.
    told: BTreeSet<String>,
    /// Functions that could not be started at the last look: that was told.
    not_started: BTreeSet<String>,
}

struct Served {
    record: SealedFunction,
    messages: mpsc::UnboundedSender<Message>,
    door: Arc<Door>,
    driver: Id,
}

impl Registry {
    pub(super) fn new(surroundings: Surroundings, table: Names) -> Self {
        Self {
            surroundings,
            listing: Listing::new(table),
            functions: BTreeMap::new(),
            drivers: JoinSet::new(),
            is_behind: false,
            told: BTreeSet::new(),
            not_started: BTreeSet::new(),
        }
    }

    /// Whether a name is a sealed function's, served or not.
    pub(super) fn is_sealed(&self, name: &str) -> bool {
        self.functions.contains_key(name) || self.is_left(name)
    }

    /// Whether a name is an unlocked container's.
    pub(super) fn is_unlocked(&self, name: &str) -> bool {
        self.listing.is_unlocked(name)
    }

    /// Whether a name is a function's that is not served at the moment, and that may be sealed.
    pub(super) fn is_left(&self, name: &str) -> bool {
        self.listing.is_left(name)
    }

    /// Where a sealed function's lease takes messages.
    pub(super) fn lease(&self, name: &str) -> Option<&mpsc::UnboundedSender<Message>> {
        self.functions.get(name).map(|served| &served.messages)
    }

    /// The door of a sealed function's lease.
    pub(super) fn door(&self, name: &str) -> Option<&Door> {
        self.functions.get(name).map(|served| &*served.door)
    }

    /// Shuts the door of a sealed function's lease, or of all.
    pub(super) fn bar(&self, name: Option<&str>) {
        for (function, served) in &self.functions {
            if name.is_none_or(|name| name == function) {
                self.bar_one(function, served);
            }
        }
    }

    fn bar_one(&self, name: &str, served: &Served) {
        served.door.bar();
        // Where it fails, the driver tries again, and tells.
        let _ = self.surroundings.admissions.close(name);
    }

    /// Every function's lease, by name.
    pub(super) fn leases(&self) -> impl Iterator<Item = (&str, &mpsc::UnboundedSender<Message>)> {
        let functions = self.functions.iter();
        functions.map(|(name, served)| (name.as_str(), &served.messages))
    }

    /// Follows the state folder: starts what is new, and has what is gone or has changed stopped, which
    /// takes its time. To be called again after [`Self::ended`], for what has changed.
    ///
    /// # Errors
    /// When the folder cannot be read. A single record that the system does not give is logged, and its function
    /// stays as it is, which [is to be tried again](Self::is_behind); one that is damaged is logged, and its
    /// function not served. Requests for those that are not served [are held](Self::is_left): their keys are no
    /// gateway's.
    pub(super) fn follow(&mut self, state: &StateDir) -> Result<(), StateError> {
        let records = Records::read(state, &mut self.told)?;
        self.is_behind = !records.are_all();
        for (name, served) in &self.functions {
            if !records.keep(&served.record) {
                self.bar_one(name, served);
                // A driver that is stopping already needs no second word.
                let _ = served.messages.send(Message::Stop);
            }
        }
        let mut not_started = BTreeSet::new();
        for record in records.found() {
            let name = &record.name;
            if !self.functions.contains_key(name)
                && let Err(error) = self.start(record.clone())
            {
                self.is_behind = true;
                if !self.not_started.contains(name) {
                    tracing::error!(function = name, %error, "a function is not served until it can be");
                }
                not_started.insert(name.clone());
            }
        }
        for name in records
            .unknown()
            .chain(not_started.iter().map(String::as_str))
        {
            if !self.functions.contains_key(name)
                && let Err(error) = self.listing.hold(name)
                && !self.not_started.contains(name)
            {
                tracing::error!(function = name, %error, "requests for a function are not held");
            }
        }
        let is_unknown = |name: &str| records.is_unknown(name) || not_started.contains(name);
        for function in self.listing.settle(is_unknown) {
            tracing::info!(function, "no longer served");
        }
        self.not_started = not_started;
        Ok(())
    }

    /// Follows the state folder while the agent runs: where it cannot be read, what is served stays so, and
    /// [it is to be tried again](Self::is_behind).
    pub(super) fn keep_up(&mut self, state: &StateDir) {
        let Err(error) = self.follow(state) else {
            return;
        };
        self.is_behind = true;
        let failure = error.to_string();
        if self.told.insert(failure) {
            tracing::error!(%error, "the state folder is not followed until it can be read again");
        }
    }

    /// Whether the state folder may have changed in a way that is not known yet.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Waits until a driver has ended; forever where there is none. Its function's requests are held until
    /// [`Self::follow`] has found that there is nothing to start again. Safe to cancel.
    pub(super) async fn ended(&mut self) {
        match self.drivers.join_next_with_id().await {
            Some(Ok((id, ()))) => self.forget(id),
            Some(Err(error)) => {
                tracing::error!(%error, "the driver of a lease broke off");
                self.forget(error.id());
            }
            None => std::future::pending().await,
        }
    }

    /// Ends every lease, removes everything parked.
    pub(super) async fn stop_all(&mut self) {
        for (_, lease) in self.leases() {
            // A driver that has ended needs no stop.
            let _ = lease.send(Message::Quit);
        }
        while !self.drivers.is_empty() {
            self.ended().await;
        }
    }

    fn start(&mut self, record: SealedFunction) -> Result<(), SpotError> {
        let Surroundings {
            config,
            host,
            verdicts,
            timelines,
            admissions,
        } = &self.surroundings;
        let rebuilder = Rebuilder::new(record.clone(), host.clone());
        let key = rebuilder.sealed().key_id().unwrap_or_default();
        let driver = Driver::new(
            Arc::new(rebuilder),
            config,
            Arc::clone(admissions),
            verdicts.clone(),
            timelines.clone(),
        );
        let containers: Vec<String> = (0..host.slots(&record))
            .map(|slot| host.names.of(&record.name, slot))
            .collect();
        self.listing.list(&record.name, &containers)?;
        let (messages, inbox) = mpsc::unbounded_channel();
        let door = driver.door();
        let driver = self.drivers.spawn(driver.run(inbox)).id();
        tracing::info!(function = record.name, key, "sealed function taken up");
        self.functions.insert(
            record.name.clone(),
            Served {
                record,
                messages,
                door,
                driver,
            },
        );
        Ok(())
    }

    fn forget(&mut self, driver: Id) {
        let name = self
            .functions
            .iter()
            .find_map(|(name, served)| (served.driver == driver).then(|| name.clone()));
        let Some(name) = name else {
            return;
        };
        self.functions.remove(&name);
        // Its driver has done so, unless it was broken off.
        let _ = self.surroundings.admissions.close(&name);
        self.listing.leave(&name);
    }
}
