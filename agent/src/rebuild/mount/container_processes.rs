//! Containers that are known by nothing but their token, since their agent is gone or they were deployed with their
//! handler: their processes are found by it, or by the host's part of it, and ended before any provider is asked to do
//! something.
use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    MountError, ParkToken,
    error::seen,
    find, kill,
    namespace::{self, Namespace},
    process::Process,
    removal,
};

/// How long processes may take to end: as long as a living agent gives them.
const TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);

/// The first processes of containers whose other processes are killed. Stopped, they live until the provider
/// has taken the container's network down, and no longer.
pub struct ContainerProcesses {
    firsts: Vec<Process>,
    killed: usize,
}

impl ContainerProcesses {
    /// Kills what runs in the containers of the host of that ID. A container none of whose processes
    /// shows its token any more, because the command became its first one, is left to its provider.
    ///
    /// # Errors
    /// When `/proc` cannot be read, a process may not be killed, or is still there after two seconds.
    pub async fn kill(host: &str) -> Result<Self, MountError> {
        let host = host.to_owned();
        Self::kill_carriers(move |environ| ParkToken::is_of(&host, environ)).await
    }

    /// Kills what runs in the container of that token, as far as this kernel runs it.
    ///
    /// # Errors
    /// When [`Self::kill`] would fail: a process cannot be looked for or killed, or stays.
    pub async fn kill_container(token: Arc<ParkToken>) -> Result<Self, MountError> {
        Self::kill_carriers(move |environ| token.is_in(environ)).await
    }

    async fn kill_carriers(
        is_carrier: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
    ) -> Result<Self, MountError> {
        let start = Instant::now();
        let is_carrier = Arc::new(is_carrier);
        let mut processes = Self {
            firsts: Vec::new(),
            killed: 0,
        };
        let mut found = Namespaces::new();
        loop {
            let is_carrier = Arc::clone(&is_carrier);
            let look = tokio::task::spawn_blocking(move || {
                let look = Look::of(&*is_carrier, &mut found);
                (found, look)
            });
            let (held, look) = look.await.map_err(|_| MountError::Stopped)?;
            found = held;
            let is_late = start.elapsed() >= TIMEOUT;
            match look {
                Ok(Look { killed, firsts }) => {
                    // Those of the last look are the same ones, or more.
                    processes.firsts = firsts;
                    if killed.is_empty() {
                        return Ok(processes);
                    }
                    if is_late {
                        return Err(MountError::Survivors { pids: killed });
                    }
                    processes.killed = processes.killed.max(killed.len());
                }
                // What the agent lacks may be given back.
                Err(MountError::Exhausted { .. }) if !is_late => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How many processes there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.killed + self.firsts.len()
    }

    /// Lets the first processes live for as long as their provider needs them to remove the containers.
    pub async fn removed_by<T>(self, removal: impl Future<Output = T>) -> T {
        let (removed, gone) = tokio::sync::watch::channel(());
        let attended = join_all(self.firsts.iter().map(|first| {
            let mut gone = gone.clone();
            removal::attend(first, async move {
                // Told by the sender's end.
                while gone.changed().await.is_ok() {}
            })
        }));
        let removal = async move {
            let result = removal.await;
            drop(removed);
            result
        };
        tokio::join!(removal, attended).0
    }
}

/// The containers' mount namespaces, by their numbers. Held from one look to the next: who shows the token may be
/// killed before the others.
type Namespaces = HashMap<u64, Namespace>;

/// One look at all processes, which ends what it finds.
struct Look {
    killed: Vec<i32>,
    firsts: Vec<Process>,
}

impl Look {
    fn of(is_carrier: impl Fn(&[u8]) -> bool, found: &mut Namespaces) -> Result<Self, MountError> {
        let all = find::all()?;
        let carries = |pid| find::carries(pid, &is_carrier);
        let known = kill::each(all.iter().copied(), carries, |carrier| {
            let namespace = match carrier.namespace() {
                Ok(namespace) => namespace,
                Err(error @ MountError::Exhausted { .. }) => return Err(error),
                // A process that has ended meanwhile has none.
                Err(_) => return Ok(()),
            };
            // What runs among the agent's mounts or the host's is no container.
            if !namespace.is_hosts()? {
                found.insert(namespace.number(), namespace);
            }
            Ok(())
        });
        let belongs = |pid| {
            let number = seen(namespace::number_of(pid))?;
            Ok(number.is_some_and(|number| found.contains_key(&number)))
        };
        let mut look = Self {
            killed: Vec::new(),
            firsts: Vec::new(),
        };
        let ended = kill::each(all, belongs, |process| {
            if seen(process.is_first())?.unwrap_or(false) {
                process.stop()?;
                look.firsts.push(process);
            } else {
                process.kill()?;
                look.killed.push(process.pid());
            }
            Ok(())
        });
        known.and(ended).map(|()| look)
    }
}
