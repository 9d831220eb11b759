//! Containers that come after the sweep which should have removed them: an agent that is gone had ordered them, and its
//! provider was still at work.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use super::{
    UnlockedNames,
    names::{self, Slots},
    sweep,
};
use crate::openfaas::{FaasCli, FaasError, Gateway};

/// Pauses before each look, in seconds: most come within a second, those of a large image within minutes.
const PAUSES: [u64; 4] = [2, 8, 60, 600];

/// The slots of the functions that are served, by name.
#[derive(Clone, Default)]
pub struct ServedSlots(Arc<Mutex<HashMap<String, Weak<Slots>>>>);

impl ServedSlots {
    pub(super) fn enter(&self, function: &str, slots: &Arc<Slots>) {
        self.all()
            .insert(function.to_owned(), Arc::downgrade(slots));
    }

    /// The slots, and which of them is that of a container's name; `None` where no function that is served has one.
    fn find(&self, name: &str) -> Option<(Arc<Slots>, usize)> {
        let (function, _, slot) = names::parts(name)?;
        let slots = self.all().get(function)?.upgrade()?;
        (slot < slots.count()).then_some((slots, slot))
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<Slots>>> {
        // Whole even if a holder of the lock panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes them as they come, after an agent's start. Safe to give up.
pub async fn remove_late_deployments(
    names: UnlockedNames,
    served: ServedSlots,
    gateway: Arc<Gateway>,
    faas: Arc<FaasCli>,
) {
    for pause in PAUSES {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        if let Err(error) = look(&names, &served, &gateway, &faas).await {
            tracing::warn!(%error, "containers that may have come after the sweep are not seen at this look");
        }
    }
}

async fn look(
    names: &UnlockedNames,
    served: &ServedSlots,
    gateway: &Gateway,
    faas: &FaasCli,
) -> Result<(), FaasError> {
    let there = sweep::unlocked(gateway).await?;
    for name in there.iter().filter(|name| names.is_own(name)) {
        let Some((slots, slot)) = served.find(name) else {
            tracing::warn!(
                container = name,
                "came after the sweep, for a function that is not served or has fewer \
                containers now; the next start removes it"
            );
            continue;
        };
        // Kept until it is removed, so that nobody deploys another by its name.
        let Some(_slot) = slots.take_free(slot) else {
            continue;
        };
        tracing::info!(container = name, "came after the sweep; removed");
        if let Err(error) = faas.remove(name).await {
            tracing::warn!(container = name, %error, "came after the sweep; not removed");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{rebuild::example, server::answering, state::StateDir};

    #[tokio::test]
    async fn what_came_after_the_sweep_is_removed_and_what_is_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (slots, faas) = example::host(folder.path(), 3, "echo $2 >> \"$0.$1\"");
        let served = ServedSlots::default();
        served.enter("pydict", &slots);
        let in_use = slots.take().await.unwrap();
        let names = UnlockedNames::of_host(&StateDir::new(folder.path())).unwrap();
        let late = names.of("pydict", 1);
        let of_others = ["pydict-another2x-2".to_owned(), names.of("unsealed", 0)];
        let listed: Vec<_> = [&in_use.name, &late]
            .into_iter()
            .chain(&of_others)
            .map(|name| json!({"name": name, "labels": {"com.rsfaas.role": "unlocked"}}))
            .collect();
        let answer = format!("HTTP/1.1 200 OK\r\n\r\n{}", json!(listed));
        let gateway = Gateway::new(&format!("http://{}", answering(answer)), None).unwrap();
        look(&names, &served, &gateway, &faas).await.unwrap();
        let removed = std::fs::read_to_string(folder.path().join("faas-cli.remove")).unwrap();
        assert_eq!(removed.trim(), late);
        drop(in_use);
        assert_eq!(slots.take().await.unwrap().name, names.of("pydict", 2));
    }
}
