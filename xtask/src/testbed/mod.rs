//! `cargo xtask testbed`: a real OpenFaaS on this one host, for development and tests.
//!
//! Everything of it lies under `target/testbed/`. `up` uses a Docker Engine and a Prometheus that answer already,
//! starts what is missing and may be repeated; `down` takes away what `up` and the functions deployed since have
//! left, and touches nothing else. Over `down` only built programs, the cached base and the logs stay.

mod crash;
mod daemon;
mod disk;
mod engine;
mod existing;
mod host;
mod http;
mod images;
mod language;
mod layout;
mod lend;
mod netfilter;
mod openfaas;
mod owner;
mod python;
mod record;
mod service;
mod shims;
mod store;
mod tools;
mod traces;

use std::path::PathBuf;

use nix::unistd::Uid;

use crate::{error::Error, files, setup, workspace};
pub(crate) use crash::{Part, crash};
use disk::Disk;
use engine::Engine;
pub(crate) use engine::remove_images;
use layout::{GATEWAY, Layout, PREFIX};
use owner::Owner;
use service::{Service, Standing};
pub(crate) use traces::Traces;

/// The Debian packages of the images that it makes.
pub(crate) fn packages() -> Vec<&'static str> {
    [
        &python::PACKAGES,
        language::NODE.packages,
        language::GOLANG.packages,
    ]
    .concat()
}

/// The label that the provider puts on the containers of functions.
const CONTAINER_LABEL: &str = "com.rsfaas.testbed.deployment";

/// An OpenFaaS to work with: the testbed, or one that was there before.
#[derive(Debug, Clone)]
pub(crate) struct Testbed {
    /// The gateway's address, as `OPENFAAS_URL` takes it, without a slash at its end.
    pub(crate) gateway: String,
    /// What images are to be named under, so that the host's OpenFaaS can pull them.
    pub(crate) registry_prefix: String,
    /// The faas-cli to use.
    pub(crate) faas_cli: PathBuf,
    /// The folder that holds `template/`; none where upstream's are to be pulled.
    pub(crate) templates: Option<PathBuf>,
    /// The folder with `basic-auth-user` and `basic-auth-password`; none where the faas-cli's login
    /// has to do.
    pub(crate) credentials: Option<PathBuf>,
    /// What removes from the registry what no image names any more; none where nobody may.
    pub(crate) purge_command: Option<PathBuf>,
    /// The faas-cli's own folder (`OPENFAAS_CONFIG`); none where it is the usual one.
    cli_config: Option<PathBuf>,
    /// The testbed's own folder; none where this is an OpenFaaS that was there before.
    pub(crate) folder: Option<PathBuf>,
    /// What comes first on the search path.
    bin: Option<PathBuf>,
}

impl Testbed {
    fn own(layout: &Layout) -> Self {
        Self {
            gateway: format!("http://{GATEWAY}"),
            registry_prefix: PREFIX.to_owned(),
            faas_cli: layout.bin().join("faas-cli"),
            templates: Some(layout.sources()),
            credentials: Some(layout.secrets()),
            purge_command: Some(store::purge_command(layout)),
            cli_config: Some(layout.faas_cli_config()),
            folder: Some(layout.state().to_owned()),
            bin: Some(layout.bin()),
        }
    }

    /// The gateway's TCP port.
    ///
    /// # Errors
    /// When the address names none.
    pub(crate) fn port(&self) -> Result<u16, Error> {
        self.gateway
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .ok_or_else(|| Error::Needs(format!("{} names no port", self.gateway)))
    }
}

/// The OpenFaaS that the environment names, where that is to be used; otherwise there is what a testbed needs and no
/// set-up installs. To be asked for before anything is installed or built.
///
/// # Errors
/// When something is missing that only the user can bring.
pub(crate) fn prerequisites(existing: bool) -> Result<Option<Testbed>, Error> {
    if existing {
        return Testbed::existing().map(Some);
    }
    check_rights()?;
    setup::find_go().map(|_| None)
}

/// Raises the testbed, and returns it once everything is healthy.
///
/// # Errors
/// When something is missing, a place is taken, or a part does not become healthy.
pub(crate) fn up() -> Result<Testbed, Error> {
    let layout = Layout::new(&workspace::root());
    check_rights()?;
    let missing = setup::missing_for_testbed();
    if !missing.is_empty() {
        let what = missing.join(", ");
        return Err(Error::Missing {
            what,
            command: "cargo xtask setup",
        });
    }
    tools::ensure(&layout, &setup::find_go()?)?;
    Owner::of_host().claim(&layout)?;
    Disk::new(&layout).ensure()?;
    Engine::new(&layout).ensure()?;
    store::ensure_registry(&layout)?;
    store::ensure_prometheus(&layout)?;
    images::ensure(&layout)?;
    openfaas::ensure_secrets(&layout)?;
    openfaas::ensure_provider(&layout)?;
    openfaas::ensure_gateway(&layout)?;
    let testbed = Testbed::own(&layout);
    openfaas::log_in(&testbed, &layout)?;
    println!("testbed: OpenFaaS answers on {}", testbed.gateway);
    Ok(testbed)
}

/// Whether the testbed's gateway runs, started by this testbed.
pub(crate) fn is_up() -> bool {
    matches!(
        openfaas::gateway(&Layout::new(&workspace::root())).standing(),
        Standing::Ours(_)
    )
}

/// Prints how each part stands, and how a shell uses a testbed that is up.
pub(crate) fn status() {
    let layout = Layout::new(&workspace::root());
    for service in services(&layout) {
        let standing = match service.standing() {
            Standing::Ours(pid) => format!("healthy, process {pid}"),
            Standing::Ailing(pid) => format!("not healthy, process {pid}"),
            Standing::Foreign => "healthy, not started by this testbed".to_owned(),
            Standing::Taken => "something else listens there".to_owned(),
            Standing::Absent => "not running".to_owned(),
        };
        println!(
            "{:<14} {:<22} {standing}",
            service.daemon.name, service.place
        );
    }
    if is_up() {
        Testbed::own(&layout).print_exports();
    }
}

/// The parts, in the order in which they are ended.
fn services(layout: &Layout) -> [Service; 5] {
    [
        openfaas::gateway(layout),
        openfaas::provider(layout),
        store::prometheus(layout),
        store::registry(layout),
        Engine::new(layout).dockerd,
    ]
}

/// Takes the testbed away. What was running before goes on running.
///
/// # Errors
/// When something of it cannot be ended or removed.
pub(crate) fn down() -> Result<(), Error> {
    let layout = Layout::new(&workspace::root());
    check_rights()?;
    if let Some(other) = Owner::of_host().other(&layout) {
        println!(
            "testbed: none of this checkout's is up; the one in {} stays",
            other.display()
        );
        return Ok(());
    }
    let [gateway, provider, prometheus, registry, dockerd] = services(&layout);
    for service in [gateway, provider] {
        stop(&service)?;
    }
    // Of an engine of ours nothing stays, whatever it can still remove itself.
    if matches!(dockerd.standing(), Standing::Foreign) {
        engine::remove_containers(CONTAINER_LABEL, PREFIX)?;
        remove_images(&format!("{PREFIX}/*:*"))?;
        println!("testbed: containers and images are removed");
    }
    for service in [prometheus, registry] {
        stop(&service)?;
    }
    Engine::new(&layout).down()?;
    Disk::new(&layout).remove()?;
    for folder in [
        layout.data(),
        layout.secrets(),
        layout.config(),
        layout.faas_cli_config(),
        layout.run(),
    ] {
        files::remove_folder(&folder)?;
    }
    Owner::of_host().release()?;
    println!(
        "testbed: gone; programs, cache and logs stay in {}",
        layout.state().display()
    );
    Ok(())
}

fn stop(service: &Service) -> Result<(), Error> {
    if service.daemon.stop()? {
        println!("testbed: {} is ended", service.daemon.name);
    }
    Ok(())
}

fn check_rights() -> Result<(), Error> {
    if Uid::effective().is_root() {
        Ok(())
    } else {
        Err(Error::Needs(
            "the testbed runs containers and needs root".into(),
        ))
    }
}
