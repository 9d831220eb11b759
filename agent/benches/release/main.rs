//! How long a released request takes from the agent's decision to the gateway's socket, over a veth pair and
//! over loopback, with a real connection in network namespaces of the benchmark's own. Needs root; prints one
//! JSON object. `cargo xtask bench release` runs it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a step that fails is a benchmark that fails"
)]

#[path = "../../tests/support/namespace.rs"]
mod namespace;
#[path = "../../tests/support/packet_path.rs"]
mod packet_path;

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Instant,
};

use agent_ebpf::NameKind;
use nix::unistd::gettid;
use rsfaas::spot::{Attach, Events, Hook, ReleaseSign};

use self::{
    namespace::{KEY_HEADER, PORT, block_on, in_namespace, ip, link_to, spotter},
    packet_path::PacketPath,
};

const REQUESTS: usize = 2000;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn main() {
    let of = |name, address: &'static str| {
        let mut times = measure(name, address);
        times.sort_by(f64::total_cmp);
        let quantile = |quantile: f64| times[(times.len() as f64 * quantile) as usize];
        serde_json::json!({"p50": quantile(0.5), "p99": quantile(0.99)})
    };
    let veth = of("gw0", "198.18.211.1");
    let loopback = of("lo", "127.0.0.1");
    println!(
        "{}",
        serde_json::json!({"us": {"veth": veth, "loopback": loopback}})
    );
}

/// Microseconds of each request.
fn measure(name: &'static str, address: &'static str) -> Vec<f64> {
    in_namespace(move || {
        let (go, wait) = mpsc::channel();
        let client = if name == "lo" {
            thread::spawn(move || client(&wait, address))
        } else {
            let (told, there) = mpsc::channel();
            let client = in_namespace(move || {
                told.send(gettid()).unwrap();
                client(&wait, address);
            });
            link_to(there.recv().unwrap(), name);
            client
        };
        let listener = TcpListener::bind(("0.0.0.0", PORT)).unwrap();
        let gateway = thread::spawn(move || arrivals(&listener));
        let sign = ReleaseSign::random().unwrap();
        let mut spotter = spotter(&sign);
        let mut names = spotter.names().unwrap();
        names.insert("pydict", NameKind::Sealed).unwrap();
        let decisions = block_on(async {
            let mut path = PacketPath::open(&mut spotter, &sign, name, Attach::Tc).await;
            let mut events = Events::new(spotter.ring().unwrap()).unwrap();
            assert_eq!(path.hook(), Hook::Tc);
            go.send(()).unwrap();
            path.run(&mut events).await;
            path.decisions().to_vec()
        });
        client.join().unwrap();
        let arrivals = gateway.join().unwrap();
        assert_eq!(arrivals.len(), decisions.len());
        arrivals
            .iter()
            .zip(decisions)
            .map(|(arrival, decision)| (*arrival - decision).as_secs_f64() * 1e6)
            .collect()
    })
    .join()
    .unwrap()
}

/// The client: keyed requests one after the other on one connection.
fn client(go: &mpsc::Receiver<()>, address: &str) {
    go.recv().unwrap();
    if address != "127.0.0.1" {
        ip("address add 198.18.211.2/30 dev cl0");
        ip("link set cl0 up");
    }
    let mut stream = TcpStream::connect((address, PORT)).unwrap();
    stream.set_nodelay(true).unwrap();
    let head = format!(
        "GET /function/pydict HTTP/1.1\r\nHost: gateway\r\n{KEY_HEADER}: rsfaas1x{}\r\n\r\n",
        "k".repeat(60)
    );
    let mut answer = vec![0; ANSWER.len()];
    for _ in 0..REQUESTS {
        stream.write_all(head.as_bytes()).unwrap();
        stream.read_exact(&mut answer).unwrap();
    }
}

/// The gateway: when each request arrived.
fn arrivals(listener: &TcpListener) -> Vec<Instant> {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    let mut arrivals = Vec::new();
    // A request is one segment, and the next one waits for the answer.
    while stream.read(&mut buffer).unwrap() > 0 {
        arrivals.push(Instant::now());
        stream.write_all(ANSWER).unwrap();
    }
    arrivals
}
