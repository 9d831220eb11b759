//! A keyed request on its whole way through the kernel, at each hook: held, released, answered, closed.
//! Client and gateway have network namespaces of their own. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a step that fails is a test that fails"
)]

#[path = "support/namespace.rs"]
mod namespace;
#[path = "support/packet_path.rs"]
mod packet_path;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use agent_ebpf::NameKind;
use nix::unistd::gettid;
use rsfaas::spot::{Attach, Events, Hook, ReleaseSign};

use self::{
    namespace::{KEY_HEADER, block_on, in_namespace, interface, ip, link_to, spotter},
    packet_path::{PacketPath, UNLOCKED},
};

/// For hangs only.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than one segment, and more than a window at the start of a connection.
const BODY_LEN: usize = 100_000;

/// What a request's way looked like.
struct Seen {
    hook: Hook,
    decisions: usize,
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

#[test]
fn an_interface_that_was_renamed_is_known_by_its_new_name_and_attached_as_that_asks_for() {
    let known = in_namespace(|| {
        ip("link add gw0 type veth peer name cl0");
        ip("link set gw0 up");
        let mut spotter = spotter(&ReleaseSign::random().unwrap());
        block_on(async {
            let before = interface("gw0").await;
            spotter.attach(&before, Attach::Auto).unwrap();
            ip("link set gw0 down");
            ip("link set gw0 name gw1");
            ip("link set gw1 up");
            let after = interface("gw1").await;
            [Attach::Auto, Attach::Xdp].map(|wanted| {
                spotter.attach(&after, wanted).unwrap();
                let known = spotter.interfaces();
                known
                    .map(|(name, hook)| (name.to_owned(), hook))
                    .collect::<Vec<_>>()
            })
        })
    });
    let by_new_name = |hook| vec![("gw1".to_owned(), hook)];
    let expected = [Hook::Tc, Hook::XdpDriver].map(by_new_name);
    assert_eq!(known.join().unwrap(), expected);
}

fn assert_served(seen: &Seen, hook: Hook) {
    assert_eq!(seen.hook, hook);
    let head = format!("POST /function/{UNLOCKED} HTTP/1.1\r\n");
    assert!(seen.request.starts_with(&head), "{:.200}", seen.request);
    assert!(!seen.request.contains("rsfaas1x"), "the key went on");
    assert!(seen.request.ends_with(&"b".repeat(BODY_LEN)));
    assert!(seen.answer.ends_with("noche"), "{}", seen.answer);
    assert_eq!((seen.held, seen.decisions), (1, 1));
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
        link_to(client_waits.recv().unwrap(), name);
        let gateway = TcpListener::bind("0.0.0.0:8080").unwrap();
        let gateway = thread::spawn(move || answer(&gateway));
        let sign = ReleaseSign::random().unwrap();
        let mut spotter = spotter(&sign);
        let mut names = spotter.names().unwrap();
        names.insert("pydict", NameKind::Sealed).unwrap();
        let counters = spotter.counters().unwrap();
        let (hook, decisions) = block_on(async {
            let mut path = PacketPath::open(&mut spotter, &sign, name, attach).await;
            let mut events = Events::new(spotter.ring().unwrap()).unwrap();
            link_up.send(()).unwrap();
            tokio::time::timeout(PATIENCE, path.run(&mut events))
                .await
                .unwrap();
            (path.hook(), path.decisions().len())
        });
        let held = counters.read().unwrap();
        Seen {
            hook,
            decisions,
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
