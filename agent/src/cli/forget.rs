//! `rsfaas forget`: takes a function off the agent's list, without its key.
use std::path::PathBuf;

use super::{
    exit::{Exit, Failure},
    lease_images::LeaseImages,
    openfaas::wait_for,
    output, sweep,
    unserved::{is_served, wait_until_unserved},
};
use crate::{
    config::Config,
    control,
    image::Engine,
    state::{Rebuild, SealedFunction, StateDir, StateError},
};

/// Take a sealed function off the agent's list, without its key: before or after `faas-cli remove NAME`.
///
/// Its record goes, its leases end, and its containers, parked or unlocked, are removed; where no agent runs, what one
/// has left of any function is (a function with `--rebuild image` is refused then). The locked function stays deployed: `faas-cli remove NAME` removes it. The sealed file
/// stays where it is; with its key, `rsfaas open` shows what is in it and `rsfaas unseal` gives the plain function back.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The function.
    function: String,
    /// The agent's configuration; without it /etc/rsfaas/agent.toml where that exists.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::read(args.config.as_deref())?;
    let state = StateDir::new(&config.state_dir);
    let name = &args.function;
    if !is_known(&state, name)? {
        let message = format!(
            "{name} is no sealed function of this host (according to {})",
            state.root().display()
        );
        return Err(Failure::new(Exit::NotSealed, message));
    }
    let sealed = state.function(name).ok().flatten();
    // What would only fail later on must change nothing.
    state.check_writable()?;
    let is_agent_there =
        is_served(&config.control_socket, name)? || control::is_answered(&config.control_socket);
    let by_image = sealed
        .as_ref()
        .filter(|record| record.rebuild == Rebuild::Image);
    if by_image.is_some() && !is_agent_there {
        let message = format!(
            "{name} is rebuilt by image, and an agent that died may have left one with the handler in it: start the agent, \
             which looks for it, then forget {name}"
        );
        return Err(Failure::new(Exit::NoAgent, message));
    }
    if by_image.is_some() {
        wait_for(async { Ok(Engine::connect().await.map(drop)?) })?;
    }
    state.unregister(name)?;
    let containers = remove_containers(&config, name);
    // Whatever became of those: nobody looks for images once the record is gone.
    let images = remove_images(&config, &state, by_image);
    if let (Err(_), Err(error)) = (&containers, &images) {
        tell!("warning: {name}: its images with its handler may be left: {error}");
    }
    for (what, removed) in [
        ("containers", containers),
        ("images with its handler", images),
    ] {
        removed.map_err(|error| {
            let message =
                format!("{name} is on no list any more, but its {what} may be left: {error}");
            Failure::new(error.exit(), message)
        })?;
    }
    if let Some(record) = sealed {
        tell!(
            "{name}: {} stays, and opens with its key",
            record.sealed.display()
        );
    }
    tell!("{name}: the locked function stays deployed; `faas-cli remove {name}` removes it");
    output::text(&format!("{name} is forgotten\n"))
}

/// Whether there is a record of a function, be it finished or not, readable or damaged.
fn is_known(state: &StateDir, name: &str) -> Result<bool, StateError> {
    // Neither is any function's name; the records of other folders, and those that are not finished, would have it.
    if name.contains('/') || name.starts_with('.') {
        return Ok(false);
    }
    for record in [state.function(name), state.begun(name)] {
        match record {
            Ok(None) => {}
            Ok(Some(_)) | Err(StateError::Record { .. }) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Removes what leases have left, where the function was rebuilt by image.
fn remove_images(
    config: &Config,
    state: &StateDir,
    by_image: Option<&SealedFunction>,
) -> Result<(), Failure> {
    let Some(record) = by_image else {
        return Ok(());
    };
    let images = LeaseImages {
        state,
        control_socket: &config.control_socket,
        purge_command: config.purge_command.clone(),
    };
    wait_for(images.remove(record, true))
}

/// Has the agent remove them, and what is left where there is none.
fn remove_containers(config: &Config, name: &str) -> Result<(), Failure> {
    wait_for(wait_until_unserved(&config.control_socket, name))?;
    if !control::is_answered(&config.control_socket) {
        for container in sweep::sweep(config)?.removed {
            tell!("{container} is removed");
        }
    }
    Ok(())
}
