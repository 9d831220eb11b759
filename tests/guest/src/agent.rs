//! The agent's packet path: its own spotter, heads and release, without leases. What it sees is told
//! to the cases, which decide.

use std::{
    collections::HashMap,
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
};

use agent_ebpf::{FlowKey, NameKind};
use aya::{
    programs::{ProgramError, ProgramInfo},
    util::KernelVersion,
};
use rsfaas::{
    head::{Action, Connection, Decision, Request, RequestId},
    release::{FrameTemplate, Port},
    spot::{
        AdmissionKey, Admissions, Attach, Event, Events, Flows, HeadName, HeldFrame, Hook,
        Interface, InterfaceChange, Interfaces, Known, Options, ReleaseSign, Spotter, has_tcx,
    },
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zeroize::Zeroizing;

use crate::{
    failure::{Failure, Trying as _, expect},
    network::GATEWAY,
    others,
    server::{PATIENCE, PORT},
};

/// The sealed function.
pub(crate) const SEALED: &str = "pydict";
/// The header that carries the key.
pub(crate) const KEY_HEADER: &str = "X-RsFaaS-Key";

/// What the agent sees.
pub(crate) enum Notice {
    /// Its programs are attached to an interface.
    Attached(String),
    /// A request waits for its decision.
    Judge(Request),
    /// One has gone on by itself.
    Admitted,
    /// The answer's first payload went out.
    Answer,
    /// The connection ended.
    Closed,
    /// How often each of the other programs at the hook has run.
    OthersRun([u64; 2]),
    /// What it was told is done.
    Done,
    /// It cannot go on.
    Failed(Failure),
}

/// What the agent is told.
enum Order {
    /// What becomes of the request that was judged last.
    Decide(Decision),
    /// Whether heads that are let in are to be known to the programs.
    Remember(bool),
    /// Tell how often each of the other programs at the hook has run.
    CountOthers,
    /// Let another program take away the one that spots.
    Displace,
    /// Look whether the programs are in place.
    Restore,
}

/// The running agent.
pub(crate) struct Agent {
    notices: Receiver<Notice>,
    orders: UnboundedSender<Order>,
    thread: JoinHandle<()>,
}

impl Agent {
    /// Loads the programs, opens the way back, and attaches to these interfaces.
    pub(crate) fn start(interfaces: &[&str]) -> Result<Self, Failure> {
        let (tell, notices) = mpsc::channel();
        let (orders, told) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .trying("a runtime")?;
        let thread = thread::spawn(move || {
            if let Err(error) = runtime.block_on(run(&tell, told)) {
                // The cases end before the agent does.
                let _ = tell.send(Notice::Failed(error));
            }
        });
        let this = Self {
            notices,
            orders,
            thread,
        };
        let mut missing = interfaces.to_vec();
        while !missing.is_empty() {
            let attached = this.expect("the programs attached", |notice| match notice {
                Notice::Attached(name) => Some(name),
                _ => None,
            })?;
            missing.retain(|name| *name != attached);
        }
        Ok(this)
    }

    /// The next notice of a kind; others before it are passed over.
    pub(crate) fn expect<T>(
        &self,
        what: &'static str,
        kind: impl Fn(Notice) -> Option<T>,
    ) -> Result<T, Failure> {
        loop {
            let notice = self.notices.recv_timeout(PATIENCE);
            match notice.map_err(|source| Failure::Waited { what, source })? {
                Notice::Failed(failure) => return Err(failure),
                notice => {
                    if let Some(value) = kind(notice) {
                        return Ok(value);
                    }
                }
            }
        }
    }

    /// Decides about the request that was judged last.
    pub(crate) fn decide(&self, decision: Decision) -> Result<(), Failure> {
        self.order(Order::Decide(decision))
    }

    /// Has the heads that are let in from here on known to the programs, or none any more.
    pub(crate) fn remember(&self, heads: bool) -> Result<(), Failure> {
        // Before a request comes that would be taken for a known one.
        self.carry_out(Order::Remember(heads))
    }

    /// Lets another program take away the one that spots.
    pub(crate) fn displace(&self) -> Result<(), Failure> {
        self.carry_out(Order::Displace)
    }

    /// Has it look whether its programs are in place.
    pub(crate) fn restore(&self) -> Result<(), Failure> {
        self.carry_out(Order::Restore)
    }

    /// How often each of the other programs at the hook has run.
    pub(crate) fn others_run(&self) -> Result<[u64; 2], Failure> {
        self.order(Order::CountOthers)?;
        self.expect("a count", |notice| match notice {
            Notice::OthersRun(runs) => Some(runs),
            _ => None,
        })
    }

    /// Ends it without a chance to clean up.
    pub(crate) fn kill(self) -> Result<(), Failure> {
        drop(self.orders);
        let ended = self.thread.join().is_ok();
        expect(ended, "the agent's end", "it panicked")
    }

    fn carry_out(&self, order: Order) -> Result<(), Failure> {
        self.order(order)?;
        self.expect("an order to be carried out", |notice| {
            matches!(notice, Notice::Done).then_some(())
        })
    }

    fn order(&self, order: Order) -> Result<(), Failure> {
        let sent = self.orders.send(order).is_ok();
        expect(sent, "a running agent", "it has ended")
    }
}

/// Loads what no interface here asks for, and tells how much of the verifier's limit of a million
/// instructions each program takes.
fn load_the_rest(spotter: &mut Spotter) -> Result<(), Failure> {
    for name in [
        "spot_ethernet",
        "spot_ip",
        "spot_loopback",
        "spot_leaving",
        "answer_ethernet",
        "watch_ethernet",
        "watch_ip",
    ] {
        tell_verified(name, spotter.classifier(name)?.info());
    }
    // Before 5.18 there are no XDP programs for packets in several buffers.
    if KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(5, 18, 0)) {
        tell_verified("spot_xdp", spotter.xdp()?.info());
    }
    Ok(())
}

/// Kernels before 5.16 keep no count.
fn tell_verified(name: &str, info: Result<ProgramInfo, ProgramError>) {
    let count = info.ok().and_then(|info| info.verified_instruction_count());
    if let Some(count) = count {
        println!("{name}: {count} instructions verified");
    }
}

struct State<'a> {
    /// The heads that were judged, and the length of the bodies behind them.
    heads: HashMap<FlowKey, (HeadName, u32)>,
    flows: HashMap<FlowKey, (Connection, FrameTemplate)>,
    judged: Option<(FlowKey, RequestId)>,
    /// MTU and hook, by interface.
    links: HashMap<u32, (u32, Hook)>,
    table: Flows,
    admissions: Admissions,
    admission_key: AdmissionKey,
    remembers: bool,
    port: Port,
    tell: &'a Sender<Notice>,
}

async fn run(tell: &Sender<Notice>, mut orders: UnboundedReceiver<Order>) -> Result<(), Failure> {
    let release = ReleaseSign::random().trying("make the signs of released packets")?;
    let admission_key = AdmissionKey::random().trying("make the key of heads")?;
    let mut spotter = Spotter::load(&Options {
        port: PORT,
        key_header: KEY_HEADER.into(),
        next_key_header: "X-RsFaaS-Next-Key".into(),
        release,
        admission: admission_key,
    })?;
    load_the_rest(&mut spotter)?;
    spotter.names()?.insert(SEALED, NameKind::Sealed)?;
    let _counted = others::counted()?;
    others::attach_before(&mut spotter, GATEWAY)?;
    let port = Port::open(&mut spotter, &release).await?;
    let mut events = Events::new(spotter.ring()?)?;
    let mut interfaces = Interfaces::follow().await?;
    let mut state = State {
        heads: HashMap::new(),
        flows: HashMap::new(),
        judged: None,
        links: HashMap::new(),
        table: spotter.flows()?,
        admissions: spotter.admissions()?,
        admission_key,
        remembers: false,
        port,
        tell,
    };
    loop {
        tokio::select! {
            held = events.next(16) => {
                for event in held? {
                    state.event(event)?;
                }
            }
            change = interfaces.next() => {
                if let Some(InterfaceChange::Up(interface)) = change
                    && !Port::owns(&interface.name)
                {
                    state.attach(&mut spotter, interface)?;
                }
            }
            order = orders.recv() => match order {
                Some(Order::Decide(decision)) => state.decide(&decision)?,
                Some(Order::Remember(heads)) => state.remember(heads)?,
                Some(Order::CountOthers) => {
                    state.notify(Notice::OthersRun(others::runs(&mut spotter)?));
                }
                Some(Order::Displace) => {
                    others::take_away("spot_ethernet", GATEWAY)?;
                    state.notify(Notice::Done);
                }
                Some(Order::Restore) => {
                    spotter.restore();
                    state.notify(Notice::Done);
                }
                None => {
                    // Links end with a process that is killed; without them the programs stay.
                    if !has_tcx() {
                        std::mem::forget(spotter);
                    }
                    return Ok(());
                }
            },
        }
    }
}

impl State<'_> {
    fn attach(&mut self, spotter: &mut Spotter, interface: Interface) -> Result<(), Failure> {
        let hook = spotter.attach(&interface, Attach::Tc)?;
        if interface.name == GATEWAY && !self.links.contains_key(&interface.index) {
            others::attach_after(spotter, GATEWAY)?;
        }
        self.links.insert(interface.index, (interface.mtu, hook));
        self.notify(Notice::Attached(interface.name));
        Ok(())
    }

    fn notify(&self, notice: Notice) {
        // The cases end before the agent does.
        let _ = self.tell.send(notice);
    }

    fn event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Held(held) => self.held(&held)?,
            Event::ClientFin(_) | Event::Failure(_) | Event::Barrier => {}
            Event::ServerFin(flow) | Event::Reset(flow) => {
                self.flows.remove(&flow);
                self.table.remove(&flow)?;
                self.notify(Notice::Closed);
            }
            Event::Answer(..) => self.notify(Notice::Answer),
            Event::Admitted(_) => self.notify(Notice::Admitted),
        }
        Ok(())
    }

    fn held(&mut self, held: &HeldFrame) -> Result<(), Failure> {
        let template = FrameTemplate::of(held)?;
        let (sequence, payload) = (template.sequence(), template.payload(&held.frame));
        let (connection, newest) = self
            .flows
            .entry(held.flow)
            .or_insert_with(|| (Connection::new(KEY_HEADER), template.clone()));
        if let Some(name) = self.admission_key.name(payload) {
            let body = payload.len() - name.length();
            self.heads.insert(held.flow, (name, body as u32));
        }
        *newest = template.after(Some(newest));
        let actions = connection.segment(sequence, payload, held.place);
        self.act(held.flow, actions)
    }

    fn decide(&mut self, decision: &Decision) -> Result<(), Failure> {
        let Some((flow, id)) = self.judged.take() else {
            return Ok(());
        };
        let Some((connection, _)) = self.flows.get_mut(&flow) else {
            return Ok(());
        };
        let actions = connection.decide(id, decision);
        self.table.await_answer(&flow)?;
        if self.remembers && matches!(decision, Decision::Unlock(_)) {
            self.know(flow, &actions)?;
        }
        self.act(flow, actions)
    }

    fn remember(&mut self, heads: bool) -> Result<(), Failure> {
        self.remembers = heads;
        if heads {
            // Whatever fails.
            self.admissions.looked(u64::MAX)?;
        } else {
            self.admissions.close(SEALED)?;
        }
        self.notify(Notice::Done);
        Ok(())
    }

    /// Has the head known that was judged, and what is released in its place.
    fn know(&self, flow: FlowKey, actions: &[Action]) -> Result<(), Failure> {
        let Some((name, body)) = self.heads.get(&flow) else {
            return Ok(());
        };
        for action in actions {
            if let Action::Release { bytes, .. } = action {
                let known = Known {
                    function: SEALED.to_owned(),
                    head: Zeroizing::new(bytes[..name.length()].to_vec()),
                    body: *body,
                };
                self.admissions.open(name, known)?;
            }
        }
        Ok(())
    }

    fn act(&mut self, flow: FlowKey, actions: Vec<Action>) -> Result<(), Failure> {
        for action in actions {
            match action {
                Action::Judge { id, request } => {
                    self.judged = Some((flow, id));
                    self.notify(Notice::Judge(request));
                }
                Action::Release { sequence, bytes } => self.release(&flow, sequence, &bytes)?,
                Action::PassWindow { start, end } => self.table.move_window(&flow, (start, end))?,
                Action::Opaque => self.table.set_opaque(&flow)?,
                Action::OpaqueOnAnswer { end } => self.table.leave_on_answer(&flow, end)?,
            }
        }
        Ok(())
    }

    fn release(&mut self, flow: &FlowKey, sequence: u32, bytes: &[u8]) -> Result<(), Failure> {
        let Some((_, template)) = self.flows.get(flow) else {
            return Ok(());
        };
        let caught = template.caught();
        let (mtu, hook) = self
            .links
            .get(&caught.interface)
            .copied()
            .unwrap_or((1500, Hook::Tc));
        for frame in template.frames(sequence, bytes, mtu as usize) {
            let sent = self.port.send(frame, caught, hook);
            sent.trying("send a released frame")?;
        }
        Ok(())
    }
}
