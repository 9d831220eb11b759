//! The agent: everything put together, and its life from start to stop.
mod commands;
mod counters;
mod limits;
mod listing;
mod records;
mod registry;
mod stop;
mod switchboard;
mod watch;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use self::{
    commands::Asked,
    registry::{Registry, Surroundings},
    stop::StopSignals,
    switchboard::Switchboard,
    watch::StateWatch,
};
use crate::{
    chain,
    config::Config,
    control::{self, Command, InterfaceStatus, Server, Status},
    openfaas::{FaasCli, Gateway, remove_left_logins},
    rebuild::{self, Host, ServedSlots, UnlockedNames},
    release::{Port, end_owed},
    secrecy::{self, Swap},
    spot::{
        AdmissionKey, Attach, Events, InterfaceChange, Interfaces, Options, ReleaseSign, Spotter,
    },
    state::StateDir,
    timeline::Timeline,
};

/// Leases whose timelines are kept for `rsfaas status`.
const TIMELINES: usize = 32;
/// Events that are taken from the ring buffer before others have their turn.
const EVENTS_AT_ONCE: usize = 256;
/// Between two looks for connections on which nothing happens.
const REST: Duration = Duration::from_secs(1);
/// For how long a stop looks for what could not be removed before.
const LAST_SWEEP: Duration = Duration::from_secs(15);

/// Why the agent could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The programs or the kernel's tables.
    #[error(transparent)]
    Spot(#[from] crate::spot::SpotError),
    /// The way back into the host.
    #[error(transparent)]
    Release(#[from] crate::release::ReleaseError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] control::ServerError),
    /// The gateway or faas-cli.
    #[error(transparent)]
    Faas(#[from] crate::openfaas::FaasError),
    /// What an earlier agent left.
    #[error("what an earlier agent left: {0}")]
    Sweep(#[from] rebuild::RebuildError),
    /// Something of the system.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Netlink has ended.
    #[error("interfaces can no longer be followed: netlink has ended")]
    Netlink,
}

impl DaemonError {
    fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// When it cannot start, or something that it cannot do without fails.
pub async fn run(config: Config) -> Result<(), DaemonError> {
    secrecy::no_core_dumps();
    let memory_is_locked = secrecy::lock_memory();
    Swap::read(memory_is_locked).warn();
    limits::raise_descriptors();
    let state = StateDir::new(&config.state_dir);
    // Before anything that an agent that runs with the same folder would notice.
    let _claim = state.claim()?;
    match end_owed(state.root()) {
        Ok(0) => {}
        Ok(ended) => tracing::info!(
            ended,
            "connections of whose heads an earlier agent had a part"
        ),
        Err(error) => tracing::warn!(%error, "clients whose heads an earlier agent had in part"),
    }
    let server = Server::open(&config.control_socket)?;
    let names = UnlockedNames::of_host(&state).map_err(DaemonError::system("the state folder"))?;
    let gateway = config.gateway();
    remove_left_logins();
    let faas = FaasCli::new(&config.faas_cli, &gateway, config.credentials.as_deref())?;
    let faas = Arc::new(faas);
    let gateway = Arc::new(Gateway::new(&gateway, config.credentials.as_deref())?);
    state.remove_leftovers()?;
    let swept = rebuild::sweep(&names, &gateway, &faas).await?;
    for told in [swept.advice(), swept.complaint()].into_iter().flatten() {
        tracing::warn!("{told}");
    }

    let release = ReleaseSign::random().map_err(DaemonError::system("random bytes"))?;
    let admission = AdmissionKey::random().map_err(DaemonError::system("random bytes"))?;
    let mut spotter = Spotter::load(&Options {
        port: config.port,
        key_header: config.key_header.clone(),
        next_key_header: config.next_key_header(),
        release,
        admission,
    })?;
    let admissions = Arc::new(spotter.admissions()?);
    let port = Port::open(&mut spotter, &release).await?;
    let (verdicts, mut verdict_inbox) = mpsc::unbounded_channel();
    let (timelines, mut timeline_inbox) = mpsc::unbounded_channel();
    let served = ServedSlots::default();
    let mut registry = Registry::new(
        Surroundings {
            config: config.clone(),
            host: Host {
                faas: Arc::clone(&faas),
                gateway: Arc::clone(&gateway),
                names: names.clone(),
                served: served.clone(),
                standby: config.standby,
                isolated: config.isolated,
                purge_command: config.purge_command.clone(),
            },
            verdicts,
            timelines,
            admissions: Arc::clone(&admissions),
        },
        spotter.names()?,
    );
    let mut switchboard = Switchboard::new(
        spotter.flows()?,
        (Arc::clone(&admissions), admission),
        port,
        &config,
    );
    let programs = spotter.counters()?;
    let mut program_log = spotter.log()?;
    let mut events = Events::new(spotter.ring()?)?;
    let mut interfaces = Interfaces::follow().await?;
    let mut watch = StateWatch::new(&state).map_err(DaemonError::system("the state folder"))?;
    let mut stop = StopSignals::new().map_err(DaemonError::system("signals"))?;
    registry.follow(&state)?;
    let latecomers = tokio::spawn(rebuild::remove_latecomers(
        names.clone(),
        served,
        Arc::clone(&gateway),
        Arc::clone(&faas),
    ));

    let (commands, mut command_inbox) = mpsc::channel::<Asked>(16);
    let control = tokio::spawn(async move {
        server
            .serve(move |command| {
                let commands = commands.clone();
                async move { commands::ask(&commands, command).await }
            })
            .await;
    });
    let mut leases: VecDeque<Timeline> = VecDeque::new();
    let mut rest = tokio::time::interval(REST);
    if config.attach == Attach::Auto {
        tracing::info!("attach = \"auto\": at TC on every interface, where a packet costs least");
    }
    tracing::info!(
        port = config.port,
        version = env!("CARGO_PKG_VERSION"),
        "the agent runs"
    );

    // Whatever it ends with, leases end with it.
    let ended: Result<(), DaemonError> = async {
        loop {
            tokio::select! {
                biased;
                // What is rare comes first: whoever floods the host with packets must not keep it waiting.
                () = stop.next() => return Ok(()),
                _ = rest.tick() => {
                    switchboard.events(events.there(), &registry);
                    switchboard.rest(&registry);
                    admissions.clean();
                    events.begin_wipe();
                    if watch.renew() || registry.is_behind() {
                        registry.keep_up(&state);
                    }
                }
                change = interfaces.next() => {
                    let change = change.ok_or(DaemonError::Netlink)?;
                    interface(&config, &mut spotter, &mut switchboard, change);
                }
                Some((command, reply)) = command_inbox.recv() => match command {
                    Command::Lock { function } => commands::lock(&registry, function.as_deref(), reply),
                    Command::Status => {
                        switchboard.events(events.there(), &registry);
                        let mut counters = switchboard.counters.all();
                        counters.insert("frames_unwiped".to_owned(), events.unwiped());
                        match programs.read() {
                            Ok(counts) => counters.extend(
                                counts.into_iter().map(|(name, count)| (name.to_owned(), count)),
                            ),
                            Err(error) => tracing::warn!(%error, "the programs' counters"),
                        }
                        let status = Status {
                            version: env!("CARGO_PKG_VERSION").to_owned(),
                            pid: std::process::id(),
                            port: config.port,
                            interfaces: InterfaceStatus::all(&spotter),
                            swap: Swap::read(memory_is_locked),
                            functions: Vec::new(),
                            busy: Vec::new(),
                            counters,
                            timelines: leases.iter().cloned().collect(),
                        };
                        commands::tell_status(&registry, status, reply);
                    }
                },
                changed = watch.changed() => {
                    changed.map_err(DaemonError::system("the state folder"))?;
                    registry.keep_up(&state);
                }
                () = registry.ended() => registry.keep_up(&state),
                Some(verdict) = verdict_inbox.recv() => switchboard.verdict(verdict, &registry),
                held = events.next(EVENTS_AT_ONCE) => {
                    switchboard.events(held?, &registry);
                }
                () = admissions.wanted() => {}
                logged = program_log.forward() => logged?,
                () = at(switchboard.due()) => switchboard.expire(Instant::now(), &registry),
                Some(timeline) = timeline_inbox.recv() => {
                    if leases.len() == TIMELINES {
                        leases.pop_front();
                    }
                    leases.push_back(timeline);
                }
                // A step at a time, when nothing else is to be done.
                () = std::future::ready(()), if events.is_being_wiped() => {
                    let came = events.wipe_step(&mut spotter)?;
                    switchboard.events(came, &registry);
                }
            }
            if admissions.begin_barrier() {
                let has_room = spotter.ask_for_barrier()?;
                admissions.barrier_asked(has_room);
            }
        }
    }
    .await;
    if let Err(error) = &ended {
        tracing::error!(error = chain::of(error), "the agent cannot go on");
    }
    tracing::info!("stopping: leases end, parked containers are removed");
    switchboard.end_acknowledged();
    // Detached first: from here on a retransmission reaches the gateway, and the locked function.
    drop(spotter);
    // Whoever asks for something from here on is told that the agent is stopping.
    drop(command_inbox);
    latecomers.abort();
    registry.stop_all().await;
    // What could not be removed in its time may be now.
    match timeout(LAST_SWEEP, rebuild::sweep(&names, &gateway, &faas)).await {
        Ok(Ok(swept)) => {
            if let Some(complaint) = swept.complaint() {
                tracing::warn!("{complaint}");
            }
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "containers are left; the next start removes them");
        }
        Err(_) => tracing::warn!("the gateway is slow; the next start removes what is left"),
    }
    switchboard.close().await;
    control.abort();
    tracing::info!("stopped");
    ended
}

fn interface(
    config: &Config,
    spotter: &mut Spotter,
    switchboard: &mut Switchboard,
    change: InterfaceChange,
) {
    match change {
        // The agent's own pair carries released frames only.
        InterfaceChange::Up(interface) if Port::owns(&interface.name) => {}
        InterfaceChange::Up(interface) => {
            match spotter.attach(&interface, config.attach_at(&interface.name)) {
                Ok(hook) => switchboard.set_interface(interface.index, interface.mtu, hook),
                Err(error) => {
                    tracing::warn!(%error, "requests through this interface are not spotted");
                }
            }
        }
        InterfaceChange::Down(_) => {}
        InterfaceChange::Gone(index) => {
            spotter.detach(index);
            switchboard.forget_interface(index);
        }
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
