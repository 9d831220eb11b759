//! What an agent that is gone has left: its containers, parked and unlocked.
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use super::{RebuildError, UnlockedNames, mount::ContainerProcesses};
use crate::openfaas::{FaasCli, FaasError, Gateway};

/// Times that what was left behind is tried to be removed.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// After so long nothing is tried again: with a provider that hangs each try takes as long as that.
const PATIENCE: Duration = Duration::from_secs(30);
/// Containers that are removed at a time.
const AT_A_TIME: usize = 4;

/// What a sweep has found.
#[derive(Debug, Default)]
pub struct Swept {
    /// This host's containers, which are removed.
    pub removed: Vec<String>,
    /// Those whose names another host's secret has made: containers of an agent with a state folder of its own, which may serve,
    /// or of a state folder that is gone. They stay.
    pub others: Vec<String>,
    /// This host's containers that the provider does not remove, each with what was said. Their processes are dead.
    left: Vec<(String, FaasError)>,
}

impl Swept {
    /// What was found, where all of this host's is removed.
    ///
    /// # Errors
    /// When the provider does not remove a container.
    pub fn all_removed(self) -> Result<Self, FaasError> {
        match self.left.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(Self {
                left: Vec::new(),
                ..self
            }),
        }
    }

    /// What to do about this host's containers that are not removed; `None` where there are none.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let (_, error) = self.left.first()?;
        let names: Vec<_> = self.left.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(" ");
        Some(format!(
            "containers that were left are ended and cannot be removed: {names} ({error}); look at the \
             provider's log, then remove each with `faas-cli remove NAME`"
        ))
    }

    /// What to do about those that stay; `None` where there are none.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        if self.others.is_empty() {
            return None;
        }
        let names = self.others.join(" ");
        Some(format!(
            "containers of another agent, or of a state folder that is gone, stay: {names}; if no agent has them any \
             more, remove each with `faas-cli remove NAME`"
        ))
    }
}

/// Kills what runs in the containers that this host's agent has left, then has the provider remove them. To be
/// called where no agent runs, or has anything unlocked or parked. What the provider does not remove is no error, since
/// whoever serves need not wait for it: see [`Swept::all_removed`].
///
/// # Errors
/// When a process outlives its end, or the gateway does not tell which containers there are.
pub async fn sweep(
    names: &UnlockedNames,
    gateway: &Gateway,
    faas: &FaasCli,
) -> Result<Swept, RebuildError> {
    let killed = ContainerProcesses::kill(names.host_id()).await;
    if let Ok(processes) = &killed
        && processes.count() > 0
    {
        let processes = processes.count();
        tracing::info!(processes, "left running; ended");
    }
    match killed {
        Ok(processes) => {
            let removal = remove(names, gateway, faas, TRIES);
            Ok(processes.removed_by(removal).await?)
        }
        Err(error) => {
            // The provider may succeed where the kernel did not.
            remove(names, gateway, faas, TRIES).await?.all_removed()?;
            Err(error.into())
        }
    }
}

/// A removal that is under way already, or a provider that is busy, is given some time.
async fn remove(
    names: &UnlockedNames,
    gateway: &Gateway,
    faas: &FaasCli,
    tries: u32,
) -> Result<Swept, FaasError> {
    let mut swept = Swept::default();
    let start = Instant::now();
    for attempt in 1.. {
        let tried = try_remove(names, gateway, faas, &mut swept).await;
        let failure = match &tried {
            Ok(()) => swept.left.first().map(|(_, error)| error),
            Err(error) => Some(error),
        };
        match failure {
            Some(error) if attempt < tries && start.elapsed() < PATIENCE => {
                tracing::warn!(%error, "not everything that was left is removed; once more");
                tokio::time::sleep(PAUSE).await;
            }
            _ => {
                tried?;
                break;
            }
        }
    }
    swept.removed.sort();
    swept.removed.dedup();
    Ok(swept)
}

async fn try_remove(
    names: &UnlockedNames,
    gateway: &Gateway,
    faas: &FaasCli,
    swept: &mut Swept,
) -> Result<(), FaasError> {
    let left = unlocked(gateway).await?;
    let (own, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|name| names.is_own(name));
    swept.others = others;
    let mut removals = stream::iter(own)
        .map(|name| async move {
            tracing::info!(container = name, "left behind; removed");
            (faas.remove(&name).await, name)
        })
        .buffer_unordered(AT_A_TIME);
    swept.left.clear();
    // One that stays keeps none of the others.
    while let Some(removed) = removals.next().await {
        match removed {
            (Ok(()), name) => swept.removed.push(name),
            (Err(error), name) => swept.left.push((name, error)),
        }
    }
    Ok(())
}

/// The names of all parked and unlocked containers that the gateway has.
pub(super) async fn unlocked(gateway: &Gateway) -> Result<Vec<String>, FaasError> {
    gateway
        .functions_with_label("com.rsfaas.role", "unlocked")
        .await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{script, server::answering, state::StateDir};

    /// A gateway that lists these as unlocked containers, and a faas-cli that is this script.
    async fn openfaas(
        folder: &Path,
        unlocked: impl Iterator<Item = &String>,
        script: &str,
    ) -> (Gateway, FaasCli) {
        let listed: Vec<_> = unlocked
            .map(
                |name| serde_json::json!({"name": name, "labels": {"com.rsfaas.role": "unlocked"}}),
            )
            .collect();
        let listed = serde_json::Value::from(listed);
        let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{listed}");
        let address = format!("http://{}", answering(answer));
        let gateway = Gateway::new(&address, None).unwrap();
        let program = script::write(&folder.join("faas-cli"), script);
        let faas = FaasCli::new(&program, &address, None).unwrap();
        (gateway, faas)
    }

    #[tokio::test]
    async fn containers_of_another_host_stay_and_are_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let names = UnlockedNames::of_host(&StateDir::new(folder.path())).unwrap();
        let own = names.of("pydict", 0);
        let others = [
            "pydict-another2x-0".to_owned(),
            format!("{own}-x"),
            names.of("pydict", 0).replace("pydict-", "pydict"),
        ];
        let script = "echo \"$2\" >> \"$0.removed\"";
        let (gateway, faas) = openfaas(folder.path(), others.iter().chain([&own]), script).await;
        let swept = sweep(&names, &gateway, &faas).await.unwrap();
        let removed = std::fs::read_to_string(folder.path().join("faas-cli.removed")).unwrap();
        assert_eq!(removed.trim(), own);
        assert_eq!(swept.removed, [own]);
        let advice = swept.advice().unwrap();
        assert!(
            others.iter().all(|other| advice.contains(other)) && advice.contains("faas-cli remove"),
            "{advice}"
        );
    }

    #[tokio::test]
    async fn a_container_that_cannot_be_removed_is_told_of_and_keeps_none_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let names = UnlockedNames::of_host(&StateDir::new(folder.path())).unwrap();
        let own: Vec<_> = (0..3 * AT_A_TIME)
            .map(|slot| names.of("pydict", slot))
            .collect();
        let script = "case \"$2\" in *-0) echo it stays; exit 1;; esac";
        let (gateway, faas) = openfaas(folder.path(), own.iter(), script).await;
        let swept = remove(&names, &gateway, &faas, 1).await.unwrap();
        let mut others = own[1..].to_vec();
        others.sort();
        assert_eq!(swept.removed, others);
        let complaint = swept.complaint().unwrap();
        assert!(
            complaint.contains(&own[0])
                && complaint.contains("it stays")
                && !complaint.contains(&own[1]),
            "{complaint}"
        );
        assert!(swept.all_removed().is_err());
    }

    #[tokio::test]
    async fn a_gateway_that_does_not_tell_what_there_is_fails_the_sweep() {
        let folder = tempfile::tempdir().unwrap();
        let names = UnlockedNames::of_host(&StateDir::new(folder.path())).unwrap();
        let (gateway, faas) = openfaas(folder.path(), [].iter(), "exit 0").await;
        let swept = remove(&names, &gateway, &faas, 1).await.unwrap();
        assert!(swept.complaint().is_none() && swept.all_removed().is_ok());
        let none = Gateway::new("http://127.0.0.1:9", None).unwrap();
        assert!(remove(&names, &none, &faas, 1).await.is_err());
    }
}
