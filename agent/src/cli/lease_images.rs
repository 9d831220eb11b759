//! Images with a handler in them that leases have left (`--rebuild image`), of a function that is not rebuilt so any
//! more: no agent looks for them from then on.
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{exit::Failure, unserved::is_served};
use crate::{
    image::{Engine, ImageError, PurgeCommand, Reference, Unlocked},
    rebuild::UnlockedNames,
    state::{Rebuild, SealedFunction, StateDir},
};

/// How long an agent may take to end a lease, and remove its image by itself.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks whether it has.
const PAUSE: Duration = Duration::from_millis(250);

/// Who made them, and how they are removed.
pub(super) struct LeaseImages<'a> {
    pub(super) state: &'a StateDir,
    /// Where the agent answers, if one runs.
    pub(super) control_socket: &'a Path,
    /// The operator's command that removes what a registry keeps of an image that was removed.
    pub(super) purge_command: Option<PathBuf>,
}

impl LeaseImages<'_> {
    /// Removes what leases have left beside a function's image without the handler. Of what may be there besides it is
    /// told where the function is known to have been rebuilt so (`is_known`).
    ///
    /// # Errors
    /// When there are some that could not be removed from everywhere.
    pub(super) async fn remove(
        self,
        record: &SealedFunction,
        is_known: bool,
    ) -> Result<(), Failure> {
        let name = &record.name;
        let base = Reference::parse(&record.base_image);
        // One of those may be in use, and an agent that starts looks for them.
        if self.are_others(record, &base) {
            return Ok(());
        }
        let host = match UnlockedNames::host_id_of(self.state) {
            Ok(Some(host)) => host,
            Err(error) if is_known => {
                return Err(Failure::io(self.state.root().display(), &error));
            }
            // No agent has run here, or this user may not know which one.
            Ok(None) | Err(_) => return Ok(()),
        };
        let engine = Engine::connect().await?;
        let start = Instant::now();
        let left = loop {
            let left = Unlocked::left(&engine, &base, &host).await;
            // One that serves it still, or again, may be ending the lease that has one.
            let is_ending =
                || is_served(self.control_socket, name).is_ok_and(|is_served| is_served);
            if left.own.is_empty() || start.elapsed() >= PATIENCE || !is_ending() {
                break left;
            }
            tokio::time::sleep(PAUSE).await;
        };
        if is_known {
            for error in &left.unseen {
                tell!("warning: {name}: images with its handler may be left: {error}");
            }
            for image in &left.others {
                tell!(
                    "warning: {name}: {image} has a handler in it, of another agent, or of a state folder that is gone; if \
                     no agent has it any more, remove it"
                );
            }
        }
        let command = self.purge_command.map(PurgeCommand::new);
        let mut purged = Ok(());
        for image in &left.own {
            match Unlocked::purge(&engine, image, command.as_ref()).await {
                Ok(kept) => {
                    tell!("{name}: {image}, which had its handler in it, is removed");
                    if let Some(kept) = kept {
                        tell!(
                            "warning: {name}: left: {}; to remove it: {}",
                            kept.what,
                            kept.how
                        );
                    }
                }
                Err(error) => {
                    tell!("warning: {name}: {error}");
                    purged = Err(error);
                }
            }
        }
        purged.map_err(|error: ImageError| error.into())
    }

    /// Whether another function of this host that is rebuilt so has the same repository, or may have.
    fn are_others(&self, record: &SealedFunction, base: &Reference) -> bool {
        let records = self.state.all().and_then(|all| all.into_iter().collect());
        // Of one that cannot be read it is not known.
        records.map_or(true, |records: Vec<SealedFunction>| {
            let mut others = records.iter().filter(|it| it.name != record.name);
            others.any(|other| {
                let image = Reference::parse(&other.base_image);
                other.rebuild == Rebuild::Image && image.is_beside(base)
            })
        })
    }
}
