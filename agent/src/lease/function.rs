//! The driver of one function's lease: owns its machine, its limiter and its time.
use std::{sync::Arc, time::Instant};

use agent_ebpf::FlowKey;
use rsfaas_shim::Refusal;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    Action, FunctionStatus, Limiter, Machine, Message, Phase, Request, Step, Timeline, Verdict,
    limiter::WINDOW,
};
use crate::{
    clock::monotonic_now,
    config::Config,
    head::RequestId,
    rebuild::{Rebuilder, Standby},
    seal::key::Key,
};

/// What the driver works with.
pub struct Driver {
    rebuilder: Arc<Rebuilder>,
    verdicts: mpsc::UnboundedSender<Verdict>,
    timelines: mpsc::UnboundedSender<Timeline>,
    machine: Machine<FlowKey, RequestId>,
    limiter: Limiter,
    lease_limit: std::time::Duration,
    linger: std::time::Duration,
    unlock_timeout: std::time::Duration,
    work: Option<JoinHandle<Done>>,
    /// When the lease ends, whoever holds it.
    expires: Option<tokio::time::Instant>,
    /// When it ends, since nobody holds it.
    lingers: Option<tokio::time::Instant>,
    key: Option<Arc<Key>>,
    unlocked: Option<String>,
    timeline: Option<Timeline>,
    lock_waiters: Vec<oneshot::Sender<()>>,
    refusal: Refusal,
    unlocks: u64,
    last_error: Option<String>,
    stopping: bool,
}

/// What work in the background comes to.
enum Done {
    Unlocked(Result<String, Failure>, Timeline),
    Locked(Result<(), String>, Option<Timeline>),
    /// It panicked, which is a defect; the machine must not be left waiting for it.
    BrokenOff(String),
}

struct Failure {
    refusal: Refusal,
    what: String,
}

impl Driver {
    /// A driver for one function; nothing runs yet.
    #[must_use]
    pub fn new(
        rebuilder: Arc<Rebuilder>,
        config: &Config,
        verdicts: mpsc::UnboundedSender<Verdict>,
        timelines: mpsc::UnboundedSender<Timeline>,
    ) -> Self {
        Self {
            rebuilder,
            verdicts,
            timelines,
            machine: Machine::default(),
            limiter: Limiter::new(config.wrong_keys, WINDOW),
            lease_limit: config.lease_limit(),
            linger: config.linger(),
            unlock_timeout: config.unlock_timeout(),
            work: None,
            expires: None,
            lingers: None,
            key: None,
            unlocked: None,
            timeline: None,
            lock_waiters: Vec::new(),
            refusal: Refusal::RebuildFailed,
            unlocks: 0,
            last_error: None,
            stopping: false,
        }
    }

    /// Parks the first containers and serves until told to stop.
    pub async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        self.rebuilder.sweep().await;
        self.fill();
        while !(self.stopping && self.machine.phase() == Phase::Locked) {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => self.stop(),
                },
                done = finished(&mut self.work) => self.done(done),
                () = elapsed(self.expires) => {
                    tracing::info!(function = self.name(), "the lease has reached its limit");
                    self.end();
                },
                () = elapsed(self.lingers) => self.end(),
            }
        }
        self.rebuilder.clear().await;
        // What came meanwhile must not wait for ever.
        messages.close();
        while let Some(message) = messages.recv().await {
            self.take(message).await;
        }
    }

    fn name(&self) -> &str {
        self.rebuilder.name()
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Request(request) => self.request(request),
            Message::Closed(flow) => {
                let actions = self.machine.closed(flow);
                self.act(actions);
            }
            Message::Released(flow, time) => self.note(flow, Step::Released, time),
            Message::Answered(flow, time) => self.note(flow, Step::Answered, time),
            Message::Lock(done) => {
                self.end();
                if self.machine.phase() == Phase::Locked {
                    // Nothing to lock; whoever asked may have gone.
                    let _ = done.send(());
                } else {
                    self.lock_waiters.push(done);
                }
            }
            Message::Status(reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.status().await);
            }
            Message::Stop => self.stop(),
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.end();
    }

    fn end(&mut self) {
        let actions = self.machine.end();
        self.act(actions);
    }

    /// Checks the key, before any disk or container work.
    fn request(&mut self, request: Request) {
        let Request {
            flow,
            id,
            key,
            held,
        } = request;
        let now = Instant::now();
        let refusal = if self.stopping {
            Some(Refusal::RebuildFailed)
        } else if !self.limiter.allows(now) {
            Some(Refusal::TooManyWrongKeys)
        } else {
            match self.rebuilder.sealed().verify(&key) {
                Ok(true) => None,
                Ok(false) => {
                    self.limiter.note(now);
                    Some(Refusal::KeyWrong)
                }
                Err(error) => {
                    self.failed(&format!("the sealed handler cannot be read: {error}"));
                    Some(Refusal::RebuildFailed)
                }
            }
        };
        if let Some(refusal) = refusal {
            tracing::info!(function = self.name(), reason = refusal.reason(), "refused");
            self.verdict(flow, id, Err(refusal));
            return;
        }
        if self.machine.phase() == Phase::Locked {
            let mut timeline = Timeline::start(self.name(), held);
            timeline.note(Step::KeyChecked);
            self.timeline = Some(timeline);
        }
        self.key = Some(Arc::new(key));
        let actions = self.machine.request(flow, id);
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action<FlowKey, RequestId>>) {
        for action in actions {
            match action {
                Action::Unlock => self.unlock(),
                Action::Lock => self.lock(),
                Action::Idle if self.linger.is_zero() => self.end(),
                Action::Idle => self.lingers = Some(tokio::time::Instant::now() + self.linger),
                Action::Serve(flow, id) => {
                    self.lingers = None;
                    let outcome = self.unlocked.clone().ok_or(Refusal::RebuildFailed);
                    self.verdict(flow, id, outcome);
                }
                Action::Fail(flow, id) => self.verdict(flow, id, Err(self.refusal)),
            }
        }
    }

    fn verdict(&self, flow: FlowKey, id: RequestId, outcome: Result<String, Refusal>) {
        // The receiver is gone only when the agent stops; the client's retransmission then reaches
        // the locked function.
        let _ = self.verdicts.send(Verdict { flow, id, outcome });
    }

    fn unlock(&mut self) {
        let Some(key) = self.key.clone() else {
            return;
        };
        self.unlocks += 1;
        let rebuilder = Arc::clone(&self.rebuilder);
        let limit = self.unlock_timeout;
        let mut timeline = self
            .timeline
            .take()
            .unwrap_or_else(|| Timeline::start(rebuilder.name(), monotonic_now()));
        self.work = Some(tokio::spawn(async move {
            let unlock = rebuilder.unlock(&key, &mut timeline);
            let result = match tokio::time::timeout(limit, unlock).await {
                Ok(Ok(container)) => Ok(container),
                Ok(Err(error)) => Err(Failure {
                    refusal: Refusal::RebuildFailed,
                    what: error.to_string(),
                }),
                Err(_) => Err(Failure {
                    refusal: Refusal::RebuildTimeout,
                    what: format!("the unlock took longer than {} s", limit.as_secs()),
                }),
            };
            Done::Unlocked(result, timeline)
        }));
    }

    fn lock(&mut self) {
        self.expires = None;
        self.lingers = None;
        let rebuilder = Arc::clone(&self.rebuilder);
        let key = self.key.take();
        self.unlocked = None;
        let mut timeline = self.timeline.take();
        self.work = Some(tokio::spawn(async move {
            let result = rebuilder.lock(key.as_ref(), timeline.as_mut()).await;
            Done::Locked(result.map_err(|error| error.to_string()), timeline)
        }));
    }

    fn done(&mut self, done: Done) {
        let actions = match done {
            Done::Unlocked(Ok(container), timeline) => {
                tracing::info!(function = self.name(), container, "unlocked");
                self.unlocked = Some(container);
                self.timeline = Some(timeline);
                self.expires = Some(tokio::time::Instant::now() + self.lease_limit);
                self.machine.unlocked()
            }
            Done::Unlocked(Err(failure), timeline) => {
                self.failed(&failure.what);
                self.refusal = failure.refusal;
                self.timeline = Some(timeline);
                self.machine.failed()
            }
            Done::BrokenOff(what) => {
                self.failed(&format!("work was broken off: {what}"));
                self.refusal = Refusal::RebuildFailed;
                match self.machine.phase() {
                    Phase::Unlocking => self.machine.failed(),
                    _ => self.locked(),
                }
            }
            Done::Locked(result, timeline) => {
                match result {
                    Ok(()) => tracing::info!(function = self.name(), "locked"),
                    Err(what) => self.failed(&what),
                }
                self.park_next(timeline);
                self.locked()
            }
        };
        self.act(actions);
    }

    fn locked(&mut self) -> Vec<Action<FlowKey, RequestId>> {
        for waiter in self.lock_waiters.drain(..) {
            // Whoever asked may have gone.
            let _ = waiter.send(());
        }
        self.machine.locked()
    }

    /// Parks the next container, unless the agent stops, and tells the lease's timeline.
    fn park_next(&self, timeline: Option<Timeline>) {
        let rebuilder = Arc::clone(&self.rebuilder);
        let timelines = self.timelines.clone();
        let park = !self.stopping;
        tokio::spawn(async move {
            let parked = park && rebuilder.fill().await == Standby::Parked;
            if let Some(mut timeline) = timeline {
                if parked {
                    timeline.note(Step::Parked);
                }
                // The receiver is gone only when the agent stops.
                let _ = timelines.send(timeline);
            }
        });
    }

    fn fill(&self) {
        let rebuilder = Arc::clone(&self.rebuilder);
        tokio::spawn(async move { rebuilder.fill().await });
    }

    fn failed(&mut self, what: &str) {
        tracing::error!(function = self.name(), error = what);
        self.last_error = Some(what.to_owned());
    }

    fn note(&mut self, flow: FlowKey, step: Step, time: u64) {
        if self.machine.holds(flow)
            && let Some(timeline) = &mut self.timeline
        {
            timeline.note_at(step, time);
        }
    }

    async fn status(&self) -> FunctionStatus {
        FunctionStatus {
            name: self.name().to_owned(),
            phase: self.machine.phase(),
            rebuild: self.rebuilder.function().rebuild,
            key_id: self.rebuilder.sealed().key_id(),
            connections: self.machine.connections(),
            unlocked: self.unlocked.clone(),
            parked: self.rebuilder.parked().await,
            unlocks: self.unlocks,
            last_error: self.last_error.clone(),
        }
    }
}

/// Waits for the work in the background; forever where there is none.
async fn finished(work: &mut Option<JoinHandle<Done>>) -> Done {
    match work {
        Some(handle) => {
            let done = handle.await;
            *work = None;
            match done {
                Ok(done) => done,
                Err(error) => Done::BrokenOff(error.to_string()),
            }
        }
        None => std::future::pending().await,
    }
}

async fn elapsed(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
