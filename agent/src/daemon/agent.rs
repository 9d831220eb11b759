//! The running agent: what it is made of, its event loop, and its stop.
mod start;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, Interval, timeout},
};

use super::{
    DaemonError,
    commands::{self, Asked},
    registry::Registry,
    stop::StopSignals,
    switchboard::Switchboard,
    watch::StateWatch,
};
use crate::{
    config::Config,
    control::{Command, InterfaceStatus, Reply, Status},
    lease::Verdict,
    memory_protection::Swap,
    rebuild::{self, Host},
    release::Port,
    spot::{Admissions, Counters, Events, InterfaceChange, Interfaces, ProgramLog, Spotter},
    state::{Claim, StateDir},
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

/// Everything that runs between start and stop.
pub(super) struct Agent {
    config: Config,
    host: Host,
    is_memory_locked: bool,
    spotter: Spotter,
    admissions: Arc<Admissions>,
    events: Events,
    interfaces: Interfaces,
    programs: Counters,
    program_log: ProgramLog,
    switchboard: Switchboard,
    registry: Registry,
    state: StateDir,
    watch: StateWatch,
    verdicts: mpsc::UnboundedReceiver<Verdict>,
    finished: mpsc::UnboundedReceiver<Timeline>,
    /// The newest leases, for `rsfaas status`.
    timelines: VecDeque<Timeline>,
    commands: mpsc::Receiver<Asked>,
    control: JoinHandle<()>,
    late_deployments: JoinHandle<()>,
    rest: Interval,
    signals: StopSignals,
    /// Given up last: until then no other agent may use the state folder.
    _claim: Claim,
}

impl Agent {
    /// Serves until the agent is told to stop.
    pub(super) async fn serve(&mut self) -> Result<(), DaemonError> {
        loop {
            tokio::select! {
                biased;
                // What is rare comes first: whoever floods the host with packets must not keep it waiting.
                () = self.signals.next() => return Ok(()),
                _ = self.rest.tick() => self.look_around(),
                change = self.interfaces.next() => self.interface(change.ok_or(DaemonError::Netlink)?)?,
                Some((command, reply)) = self.commands.recv() => self.command(command, reply),
                changed = self.watch.changed() => {
                    changed.map_err(DaemonError::system("the state folder"))?;
                    self.registry.keep_up(&self.state);
                }
                () = self.registry.ended() => self.registry.keep_up(&self.state),
                Some(verdict) = self.verdicts.recv() => self.switchboard.verdict(verdict, &self.registry),
                held = self.events.next(EVENTS_AT_ONCE) => self.switchboard.events(held?, &self.registry),
                () = self.admissions.wanted() => {}
                logged = self.program_log.forward() => logged?,
                () = at(self.switchboard.due()) => self.switchboard.expire(Instant::now(), &self.registry),
                Some(timeline) = self.finished.recv() => self.keep(timeline),
                // A step at a time, when nothing else is to be done.
                () = tokio::task::yield_now(), if self.events.is_being_wiped() => {
                    let came = self.events.wipe_step(&mut self.spotter)?;
                    self.switchboard.events(came, &self.registry);
                }
            }
            if self.admissions.begin_barrier() {
                let has_room = self.spotter.ask_for_barrier()?;
                self.admissions.barrier_asked(has_room);
            }
        }
    }

    /// What is done at each look for connections on which nothing happens.
    fn look_around(&mut self) {
        self.take_waiting();
        self.switchboard.rest(&self.registry);
        self.admissions.clean();
        self.events.begin_wipe();
        self.spotter.restore();
        if self.watch.renew() || self.registry.is_behind() {
            self.registry.keep_up(&self.state);
        }
    }

    /// Takes in the events that are in the ring buffer.
    fn take_waiting(&mut self) {
        self.switchboard.events(self.events.there(), &self.registry);
    }

    fn interface(&mut self, change: InterfaceChange) -> Result<(), DaemonError> {
        match change {
            // The agent's own pair carries released frames only.
            InterfaceChange::Up(interface) if Port::owns(&interface.name) => {}
            InterfaceChange::Up(interface) => {
                let attach = self.config.attach_at(&interface.name);
                match self.spotter.attach(&interface, attach) {
                    Ok(hook) => {
                        self.switchboard
                            .set_interface(interface.index, interface.mtu, hook);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "requests through this interface are not spotted");
                    }
                }
            }
            InterfaceChange::Down(index) | InterfaceChange::Gone(index)
                if self.switchboard.sends_by(index) =>
            {
                return Err(DaemonError::PairGone);
            }
            InterfaceChange::Down(_) => {}
            InterfaceChange::Gone(index) => {
                self.spotter.detach(index);
                self.switchboard.forget_interface(index);
            }
        }
        Ok(())
    }

    fn command(&mut self, command: Command, reply: oneshot::Sender<Reply>) {
        match command {
            Command::Lock { function } => {
                commands::lock(&self.registry, function.as_deref(), reply);
            }
            Command::Status => {
                self.take_waiting();
                commands::tell_status(&self.registry, self.status(), reply);
            }
        }
    }

    /// What there is to tell of the agent itself, without its functions.
    fn status(&self) -> Status {
        let mut counters = self.switchboard.counters.all();
        counters.insert("frames_unwiped".to_owned(), self.events.unwiped());
        match self.programs.read() {
            Ok(counts) => counters.extend(
                counts
                    .into_iter()
                    .map(|(name, count)| (name.to_owned(), count)),
            ),
            Err(error) => tracing::warn!(%error, "the programs' counters"),
        }
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            port: self.config.port,
            interfaces: InterfaceStatus::all(&self.spotter),
            swap: Swap::read(self.is_memory_locked),
            functions: Vec::new(),
            busy: Vec::new(),
            counters,
            timelines: self.timelines.iter().cloned().collect(),
        }
    }

    fn keep(&mut self, timeline: Timeline) {
        if self.timelines.len() == TIMELINES {
            self.timelines.pop_front();
        }
        self.timelines.push_back(timeline);
    }

    /// Ends every lease, and removes what the agent has on the host.
    pub(super) async fn stop(self) {
        tracing::info!("stopping: leases end, parked containers are removed");
        let Self {
            host,
            spotter,
            mut switchboard,
            mut registry,
            commands,
            control,
            late_deployments,
            ..
        } = self;
        switchboard.end_acknowledged();
        // Detached first: from here on a retransmission reaches the gateway, and the locked function.
        drop(spotter);
        // Whoever asks for something from here on is told that the agent is stopping.
        drop(commands);
        late_deployments.abort();
        registry.stop_all().await;
        last_sweep(&host).await;
        switchboard.close().await;
        control.abort();
        tracing::info!("stopped");
    }
}

/// Removes what could not be removed in its time, and may be now.
async fn last_sweep(host: &Host) {
    let swept = rebuild::sweep(&host.names, &host.gateway, &host.faas);
    match timeout(LAST_SWEEP, swept).await {
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
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
