//! `rsfaas unseal`: back to a plain function.
use std::collections::BTreeMap;

use super::{
    exit::{Exit, Failure},
    key_file::KeyFile,
    openfaas::{Setting, Stack, wait_for_without_signals},
    signals::DeferredSignals,
    unserved::{is_served, wait_until_unserved},
};
use crate::{
    image::{Engine, LeftOut, Reference},
    seal::{
        file::SealedFile,
        folder::{Outcome, place_plain, remove_sealed},
        key::Key,
    },
    stack::Function,
    state::Rebuild,
};

/// Give the plain handler folder and the plain function back.
///
/// The handler is decrypted to its folder, the agent stops serving the function, the sealed file goes, and
/// the function is built, pushed and deployed by faas-cli as it was before. May be run again at any point.
/// Without --function, functions of the stack file that are not sealed are left out.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stack: Stack,
    #[command(flatten)]
    key: KeyFile,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let setting = args.stack.read()?;
    let key = args.key.read()?;
    wait_for_without_signals(async {
        // The gateway is asked with the login before anything is changed.
        let deployed = setting.deployed_images().await?;
        // Without it no function could be built once it is plain, and none would serve until then.
        Engine::connect().await?;
        unseal_all(&setting, &key, &deployed).await
    })
}

/// `deployed` has an image a function.
async fn unseal_all(
    setting: &Setting,
    key: &Key,
    deployed: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    for function in &setting.functions {
        let image = deployed.get(&function.name);
        let is_locked = image.is_some_and(|image| Reference::parse(image).is_own());
        unseal(setting, function, key, is_locked).await?;
    }
    Ok(())
}

/// `is_locked` tells whether the locked function is deployed.
async fn unseal(
    setting: &Setting,
    function: &Function,
    key: &Key,
    is_locked: bool,
) -> Result<(), Failure> {
    let name = &function.name;
    is_sealed_here(setting, function)?;
    // What would only fail later on must change nothing.
    let records = (setting.state.function(name), setting.state.begun(name));
    let is_known = !matches!(records, (Ok(None), Ok(None)));
    if is_known {
        setting.state.check_writable()?;
        is_served(&setting.control_socket, name)?;
    }
    // Whoever names it may want it all the same, and an earlier run may have ended before it was deployed.
    let is_meant = setting.is_one || is_known || is_locked;
    if !is_meant && !SealedFile::in_folder(&function.handler).exists()? {
        tell!("{name} is not sealed; left out");
        return Ok(());
    }
    // The function is served until its plain files are there: if they cannot be, nothing else has changed.
    let template = LeftOut::of(&setting.stack, function)?;
    let outcome = {
        let _deferred = DeferredSignals::new()?;
        place_plain(&function.handler, name, key, &|path| template.has(path))?
    };
    let given_back = give_back(setting, function, outcome).await;
    given_back.map_err(|error| {
        let message = format!(
            "{error}; the handler folder of {name} is plain now: run `rsfaas unseal` again once that is mended"
        );
        Failure::new(error.exit(), message)
    })
}

/// What follows once the plain files are there.
async fn give_back(
    setting: &Setting,
    function: &Function,
    outcome: Outcome,
) -> Result<(), Failure> {
    let name = &function.name;
    let record = setting.state.function(name).ok().flatten();
    setting.state.unregister(name)?;
    let unserved = wait_until_unserved(&setting.control_socket, name).await;
    // Whatever became of that: nobody looks for images once the record is gone.
    if let Some(record) = record.filter(|record| record.rebuild == Rebuild::Image)
        && let Err(error) = setting.lease_images().remove(&record, true).await
    {
        tell!("warning: {name}: images of its leases may be left: {error}");
    }
    // At the end of a lease the agent replaces the sealed file, which would come back.
    unserved?;
    remove_sealed(&function.handler)?;
    if outcome == Outcome::Already {
        tell!("{name}: the handler folder is plain already");
    } else {
        tell!("{name}: the handler folder is plain again");
    }
    for step in ["build", "push", "deploy"] {
        tell!("{name}: faas-cli {step}");
        let stack = &setting.stack;
        setting
            .faas
            .step(step, stack.folder(), stack.path(), name, &[])
            .await?;
    }
    tell!("{name}: unsealed");
    Ok(())
}

/// Refuses where the function was sealed in another folder that is still there: its record would go, and its sealed
/// file stay.
fn is_sealed_here(setting: &Setting, function: &Function) -> Result<(), Failure> {
    let Ok(Some(record)) = setting.state.function(&function.name) else {
        return Ok(());
    };
    let sealed = record.sealed.canonicalize().ok();
    let elsewhere = sealed.filter(|it| it.parent() != Some(&*function.handler));
    elsewhere.map_or(Ok(()), |sealed| {
        let message = format!(
            "function {:?} is sealed in {}, and by this stack file and working folder its handler is {}: run this where \
             it was sealed. Nothing was changed",
            function.name,
            sealed.display(),
            function.handler.display()
        );
        Err(Failure::new(Exit::Stack, message))
    })
}

#[cfg(test)]
mod tests;
