//! What `seal` says of its work.
use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    image::{BaseImage, Leftover},
    seal::{
        FILE_NAME,
        archive::Built,
        folder::{Outcome, Report},
    },
    state::Park,
};

/// Warns of repositories, each with the functions whose handlers lie in it.
pub(super) fn repositories(found: &BTreeMap<PathBuf, Vec<&str>>) {
    for (folder, functions) in found {
        tell!(
            "warning: the repository {} may still hold the source of {}: what was committed there stays readable \
             (`git log --all -- HANDLER` shows it)",
            folder.display(),
            functions.join(", ")
        );
    }
}

/// Says how the function is going to be unlocked.
pub(super) fn way(name: &str, base: &BaseImage, built: Option<&Built>) {
    let place = match base.park {
        Park::Python => "in the import of its handler",
        Park::Node => "in the require of its handler",
        Park::Gate => "at the gate, before its process starts",
        Park::Container => "at the gate, before the container starts anything",
    };
    tell!("{name}: parked {place}: {}", base.why);
    match built {
        None => tell!(
            "{name}: delivered: the handler's files into {}",
            base.handler_dir.display()
        ),
        Some(built) => {
            let places: Vec<_> = built
                .places
                .iter()
                .map(|place| place.display().to_string())
                .collect();
            tell!(
                "{name}: delivered: what the build makes of the handler, {} files, over {}",
                built.files.len(),
                places.join(", ")
            );
        }
    }
}

/// Says what has become of the handler folder.
pub(super) fn report(name: &str, report: &Report) {
    match report.outcome {
        Outcome::Done => tell!(
            "{name}: handler encrypted to {FILE_NAME}, key {}",
            report.key_id
        ),
        Outcome::Completed => {
            tell!(
                "{name}: an interrupted sealing was finished, key {}",
                report.key_id
            );
        }
        Outcome::Already => tell!("{name}: the handler is sealed, key {}", report.key_id),
    }
    for manifest in &report.manifests {
        tell!(
            "{name}: {} stays readable: the image is built from it",
            manifest.display()
        );
    }
    if !report.left_out.is_empty() {
        let paths: Vec<_> = report
            .left_out
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        tell!(
            "{name}: {} stays readable: the template leaves it out of the image",
            paths.join(", ")
        );
    }
    if let Some(history) = &report.history {
        tell!(
            "warning: {name}: {} may still hold the source",
            history.display()
        );
    }
    for file in &report.hard_linked {
        tell!(
            "warning: {name}: {} has another name elsewhere, still readable",
            file.display()
        );
    }
}

/// Warns of what is left.
pub(super) fn left(name: &str, left: &[Leftover]) {
    for Leftover { what, how } in left {
        tell!("warning: {name}: left: {what}; to remove it: {how}");
    }
}
