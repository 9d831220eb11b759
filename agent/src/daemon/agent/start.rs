//! What the agent does before it serves, in the order in which it has to be done.
use std::{collections::VecDeque, sync::Arc};

use tokio::{sync::mpsc, task::JoinHandle};

use super::{Agent, REST};
use crate::{
    config::Config,
    control::Server,
    daemon::{
        DaemonError,
        commands::{self, Asked},
        limits,
        registry::{Registry, Surroundings},
        stop::StopSignals,
        switchboard::Switchboard,
        watch::StateWatch,
    },
    memory_protection::{self, Swap},
    openfaas::{FaasCli, Gateway, remove_left_logins},
    rebuild::{self, Host, ServedSlots, UnlockedNames},
    release::{Port, send_pending_resets},
    spot::{AdmissionKey, Attach, Events, Interfaces, Options, ReleaseSign, Spotter},
    state::StateDir,
};

impl Agent {
    /// Takes the place of whatever ran before, loads the programs and puts everything together.
    pub(in crate::daemon) async fn start(config: Config) -> Result<Self, DaemonError> {
        memory_protection::no_core_dumps();
        let is_memory_locked = memory_protection::lock_memory();
        Swap::read(is_memory_locked).warn();
        limits::raise_descriptors();
        let state = StateDir::new(&config.state_dir);
        // Before anything that an agent that runs with the same folder would notice.
        let claim = state.claim()?;
        send_left_resets(&state);
        let server = Server::open(&config.control_socket)?;
        let host = host(&config, &state)?;
        state.remove_leftovers()?;
        sweep(&host).await?;

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
        let (to_verdicts, verdicts) = mpsc::unbounded_channel();
        let (to_finished, finished) = mpsc::unbounded_channel();
        let surroundings = Surroundings {
            config: config.clone(),
            host: host.clone(),
            verdicts: to_verdicts,
            timelines: to_finished,
            admissions: Arc::clone(&admissions),
        };
        let mut registry = Registry::new(surroundings, spotter.names()?);
        let switchboard = Switchboard::new(
            spotter.flows()?,
            (Arc::clone(&admissions), admission),
            port,
            &config,
        );
        let programs = spotter.counters()?;
        let program_log = spotter.log()?;
        let events = Events::new(spotter.ring()?)?;
        let interfaces = Interfaces::follow().await?;
        let watch = StateWatch::new(&state).map_err(DaemonError::system("the state folder"))?;
        let signals = StopSignals::new().map_err(DaemonError::system("signals"))?;
        registry.follow(&state)?;
        let late_deployments = tokio::spawn(rebuild::remove_late_deployments(
            host.names.clone(),
            host.served.clone(),
            Arc::clone(&host.gateway),
            Arc::clone(&host.faas),
        ));
        let (control, commands) = listen(server);
        if config.attach == Attach::Auto {
            tracing::info!(
                "attach = \"auto\": at TC on every interface, where a packet costs least"
            );
        }
        tracing::info!(
            port = config.port,
            version = env!("CARGO_PKG_VERSION"),
            "the agent runs"
        );
        Ok(Self {
            config,
            host,
            is_memory_locked,
            spotter,
            admissions,
            events,
            interfaces,
            programs,
            program_log,
            switchboard,
            registry,
            state,
            watch,
            verdicts,
            finished,
            timelines: VecDeque::new(),
            commands,
            control,
            late_deployments,
            rest: tokio::time::interval(REST),
            signals,
            _claim: claim,
        })
    }
}

/// Ends the connections of whose heads an earlier agent had a part: nobody else has it.
fn send_left_resets(state: &StateDir) {
    match send_pending_resets(state.root()) {
        Ok(0) => {}
        Ok(ended) => tracing::info!(
            ended,
            "connections of whose heads an earlier agent had a part"
        ),
        Err(error) => tracing::warn!(%error, "clients whose heads an earlier agent had in part"),
    }
}

/// The OpenFaaS of a configuration.
fn host(config: &Config, state: &StateDir) -> Result<Host, DaemonError> {
    let names = UnlockedNames::of_host(state).map_err(DaemonError::system("the state folder"))?;
    let gateway = config.gateway();
    remove_left_logins();
    Ok(Host {
        faas: Arc::new(FaasCli::new(
            &config.faas_cli,
            &gateway,
            config.credentials.as_deref(),
        )?),
        gateway: Arc::new(Gateway::new(&gateway, config.credentials.as_deref())?),
        names,
        served: ServedSlots::default(),
        standby: config.standby,
        isolated: config.isolated,
        purge_command: config.purge_command.clone(),
    })
}

/// Removes what an earlier agent left at the provider.
async fn sweep(host: &Host) -> Result<(), DaemonError> {
    let swept = rebuild::sweep(&host.names, &host.gateway, &host.faas).await?;
    for told in [swept.advice(), swept.complaint()].into_iter().flatten() {
        tracing::warn!("{told}");
    }
    Ok(())
}

/// Has what comes over the control socket brought to the agent.
fn listen(server: Server) -> (JoinHandle<()>, mpsc::Receiver<Asked>) {
    let (commands, inbox) = mpsc::channel::<Asked>(16);
    let control = tokio::spawn(async move {
        server
            .serve(move |command| {
                let commands = commands.clone();
                async move { commands::ask(&commands, command).await }
            })
            .await;
    });
    (control, inbox)
}
