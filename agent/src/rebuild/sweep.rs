//! What an agent that is gone has left: its containers, parked and unlocked.
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{RebuildError, UnlockedNames, mount::Strays};
use crate::openfaas::{FaasCli, FaasError, Gateway};

/// Times that what was left behind is tried to be removed.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// Containers that are removed at a time.
const AT_A_TIME: usize = 4;

/// Kills what runs in the containers that this host's agent has left, then has the provider remove them; gives
/// their names. To be called where no agent runs.
///
/// # Errors
/// When a process outlives its end, or the provider does not remove a container: the processes are dead then.
pub async fn sweep(
    names: &UnlockedNames,
    gateway: &Gateway,
    faas: &FaasCli,
) -> Result<Vec<String>, RebuildError> {
    let strays = Strays::kill(names.suffix()).await;
    if let Ok(strays) = &strays
        && strays.count() > 0
    {
        let processes = strays.count();
        tracing::info!(processes, "left running by an earlier agent; ended");
    }
    match strays {
        Ok(strays) => Ok(strays.removed_by(remove(gateway, faas)).await?),
        Err(error) => {
            // The provider may succeed where the kernel did not.
            remove(gateway, faas).await?;
            Err(error.into())
        }
    }
}

/// A removal that is under way already, or a provider that is busy, is given some time.
async fn remove(gateway: &Gateway, faas: &FaasCli) -> Result<Vec<String>, FaasError> {
    let mut removed = Vec::new();
    for attempt in 1.. {
        match try_remove(gateway, faas, &mut removed).await {
            Err(error) if attempt < TRIES => {
                tracing::warn!(%error, "not everything that an earlier agent left is removed; once more");
                tokio::time::sleep(PAUSE).await;
            }
            result => {
                result?;
                break;
            }
        }
    }
    removed.sort();
    removed.dedup();
    Ok(removed)
}

async fn try_remove(
    gateway: &Gateway,
    faas: &FaasCli,
    removed: &mut Vec<String>,
) -> Result<(), FaasError> {
    let left = gateway
        .functions_with_label("com.rsfaas.role", "unlocked")
        .await?;
    let mut removals = stream::iter(left)
        .map(|name| async move {
            tracing::info!(container = name, "left behind by an earlier agent; removed");
            faas.remove(&name).await.map(|()| name)
        })
        .buffer_unordered(AT_A_TIME);
    while let Some(name) = removals.try_next().await? {
        removed.push(name);
    }
    Ok(())
}
