//! A keyed request on its whole way through the kernel, at each hook: held, released, answered, closed.
//! Client and gateway have network namespaces of their own. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a step that fails is a test that fails"
)]

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use agent_ebpf::NameKind;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::gettid,
};
use rsfaas::{
    head::{Action, Connection, Decision},
    release::{Port, Template},
    spot::{
        Attach, Event, Events, Flows, HeldFrame, Hook, Interface, InterfaceChange, Interfaces,
        Options, ReleaseSign, Spotter,
    },
};

/// For hangs only.
const PATIENCE: Duration = Duration::from_secs(60);

const KEY_HEADER: &str = "X-RsFaaS-Key";
const UNLOCKED: &str = "pydict-abc123-0";
/// More than one segment, and more than a window at the start of a connection.
const BODY_LEN: usize = 100_000;

/// What a request's way looked like.
struct Seen {
    hook: Hook,
    request: String,
    answer: String,
    held: u64,
}

#[test]
fn at_tc_a_keyed_request_is_held_released_answered_and_its_end_seen() {
    assert_served(&serve("gw0", Attach::Tc), Hook::Tc);
}

#[test]
fn at_xdp_in_the_driver_a_keyed_request_is_held_released_answered_and_its_end_seen() {
    assert_served(&serve("gw0", Attach::Xdp), Hook::XdpDriver);
}

#[test]
fn at_xdp_before_the_stack_a_keyed_request_is_held_released_answered_and_its_end_seen() {
    // A bridge has no XDP of its own.
    assert_served(&serve("br0", Attach::Xdp), Hook::XdpGeneric);
}

#[test]
fn loopback_stays_at_tc_whatever_is_asked_for() {
    let hook = in_namespace(|| {
        let mut spotter = spotter(&ReleaseSign::random().unwrap());
        block_on(async {
            let lo = interface("lo").await;
            spotter.attach(&lo, Attach::Xdp).unwrap()
        })
    });
    assert_eq!(hook.join().unwrap(), Hook::Tc);
}

fn assert_served(seen: &Seen, hook: Hook) {
    assert_eq!(seen.hook, hook);
    let head = format!("POST /function/{UNLOCKED} HTTP/1.1\r\n");
    assert!(seen.request.starts_with(&head), "{:.200}", seen.request);
    assert!(!seen.request.contains("rsfaas1x"), "the key went on");
    assert!(seen.request.ends_with(&"b".repeat(BODY_LEN)));
    assert!(seen.answer.ends_with("noche"), "{}", seen.answer);
    assert_eq!(seen.held, 1);
}

/// Serves one keyed request that comes in by the given interface.
fn serve(name: &'static str, attach: Attach) -> Seen {
    in_namespace(move || {
        let (client_up, client_waits) = mpsc::channel();
        let (link_up, link) = mpsc::channel();
        let client = in_namespace(move || {
            client_up.send(gettid()).unwrap();
            link.recv().unwrap();
            request()
        });
        let there = client_waits.recv().unwrap();
        ip("link add gw0 type veth peer name cl0");
        ip("link add br0 type bridge");
        ip(&format!("link set cl0 netns {there}"));
        if name == "br0" {
            ip("link set gw0 master br0");
        }
        ip(&format!("address add 198.18.211.1/30 dev {name}"));
        ip("link set br0 up");
        ip("link set gw0 up");
        let gateway = TcpListener::bind("0.0.0.0:8080").unwrap();
        let gateway = thread::spawn(move || answer(&gateway));
        let sign = ReleaseSign::random().unwrap();
        let mut spotter = spotter(&sign);
        let mut names = spotter.names().unwrap();
        names.insert("pydict", NameKind::Sealed).unwrap();
        let counters = spotter.counters().unwrap();
        let hook = block_on(async {
            let port = Port::open(&mut spotter, &sign).await.unwrap();
            let interface = interface(name).await;
            let hook = spotter.attach(&interface, attach).unwrap();
            let mut agent = Agent {
                connection: Connection::new(KEY_HEADER),
                template: None,
                port,
                flows: spotter.flows().unwrap(),
                mtu: interface.mtu as usize,
                hook,
            };
            let mut events = Events::new(spotter.ring().unwrap()).unwrap();
            link_up.send(()).unwrap();
            agent.run(&mut events).await;
            hook
        });
        let held = counters.read().unwrap();
        Seen {
            hook,
            request: gateway.join().unwrap(),
            answer: client.join().unwrap(),
            held: held
                .iter()
                .find(|(counter, _)| *counter == "held_keyed")
                .map(|(_, count)| *count)
                .unwrap(),
        }
    })
    .join()
    .unwrap()
}

/// The agent without leases: whoever calls a sealed function gets the unlocked one.
struct Agent {
    connection: Connection,
    template: Option<Template>,
    port: Port,
    flows: Flows,
    mtu: usize,
    hook: Hook,
}

impl Agent {
    /// Until the gateway has closed the connection.
    async fn run(&mut self, events: &mut Events) {
        loop {
            for event in events.next(16).await.unwrap() {
                match event {
                    Event::Held(held) => self.held(&held),
                    Event::ServerFin(_) => return,
                    Event::Reset(_) => panic!("the connection was reset"),
                    Event::ClientFin(_) | Event::Answer(..) => {}
                }
            }
        }
    }

    fn held(&mut self, held: &HeldFrame) {
        let template = Template::of(held).unwrap();
        let mut actions = self
            .connection
            .segment(template.sequence(), template.payload(&held.frame));
        self.template = Some(template);
        while !actions.is_empty() {
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::Judge { id, .. } => {
                        let decision = Decision::Unlock(UNLOCKED.into());
                        actions.extend(self.connection.decide(id, &decision));
                    }
                    Action::Release { sequence, bytes } => self.release(sequence, &bytes),
                    Action::PassWindow { start, end } => {
                        self.flows.hold(&held.flow, (start, end), false).unwrap();
                    }
                    Action::Opaque => panic!("given up"),
                }
            }
        }
    }

    fn release(&mut self, sequence: u32, bytes: &[u8]) {
        let template = self.template.as_ref().unwrap();
        for frame in template.frames(sequence, bytes, self.mtu) {
            self.port
                .send(frame, template.interface(), self.hook)
                .unwrap();
        }
    }
}

/// The gateway: reads one request and answers.
fn answer(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = String::new();
    stream.read_to_string(&mut request).unwrap();
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
    stream.write_all(format!("{head}noche").as_bytes()).unwrap();
    request
}

/// The client: sends one keyed request, and reads the answer.
fn request() -> String {
    ip("address add 198.18.211.2/30 dev cl0");
    ip("link set cl0 up");
    let mut stream = TcpStream::connect("198.18.211.1:8080").unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /function/pydict HTTP/1.1\r\nHost: gateway\r\n{KEY_HEADER}: rsfaas1x{}\r\n\
         Content-Length: {BODY_LEN}\r\n\r\n",
        "k".repeat(60)
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all("b".repeat(BODY_LEN).as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn spotter(sign: &ReleaseSign) -> Spotter {
    Spotter::load(&Options {
        port: 8080,
        key_header: KEY_HEADER.into(),
        release: *sign,
    })
    .unwrap()
}

async fn interface(name: &str) -> Interface {
    let mut interfaces = Interfaces::follow().await.unwrap();
    loop {
        if let InterfaceChange::Up(interface) = interfaces.next().await.unwrap()
            && interface.name == name
        {
            return interface;
        }
    }
}

/// Runs on a thread of its own in a network namespace of its own, which goes with its threads.
fn in_namespace<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        run()
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.unwrap() })
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {error}");
}
