//! What each hook leaves of a link's throughput, for a connection that is none of the spotter's.
use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::unistd::gettid;
use rsfaas::spot::{Attach, ReleaseSign};

use super::{
    median,
    namespace::{block_on, in_namespace, interface, ip, link_to, spotter},
};

/// Each loads the programs anew.
const ROUNDS: usize = 5;
/// How long a connection sends.
const SENDING: Duration = Duration::from_millis(300);

/// Medians over the rounds in Gbit/s, by interface and hook: a veth, which has XDP in its driver, and a
/// bridge, which has not.
pub(super) fn measure() -> BTreeMap<String, f64> {
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for interface in ["gw0", "br0"] {
            for attach in [None, Some(Attach::Tc), Some(Attach::Xdp)] {
                let (hook, rate) = throughput(interface, attach);
                let link = if interface == "gw0" { "veth" } else { "bridge" };
                all.entry(format!("{link} {hook}")).or_default().push(rate);
            }
        }
    }
    all.into_iter()
        .map(|(name, rates)| (name, median(rates)))
        .collect()
}

fn throughput(name: &'static str, attach: Option<Attach>) -> (String, f64) {
    in_namespace(move || {
        let (client_up, client_waits) = mpsc::channel();
        let (link_up, link) = mpsc::channel();
        let client = in_namespace(move || {
            client_up.send(gettid()).unwrap();
            link.recv().unwrap();
            send();
        });
        link_to(client_waits.recv().unwrap(), name);
        let listener = TcpListener::bind("198.18.211.1:9000").unwrap();
        let receiver = thread::spawn(move || receive(&listener));
        let attached = attach.map(|attach| {
            let mut spotter = spotter(&ReleaseSign::random().unwrap());
            let interface = block_on(interface(name));
            let hook = spotter.attach(&interface, attach).unwrap();
            (spotter, hook.to_string())
        });
        link_up.send(()).unwrap();
        client.join().unwrap();
        let rate = receiver.join().unwrap();
        (
            attached.map_or_else(|| "none".into(), |(_, hook)| hook),
            rate,
        )
    })
    .join()
    .unwrap()
}

fn send() {
    ip("address add 198.18.211.2/30 dev cl0");
    ip("link set cl0 up");
    let mut stream = TcpStream::connect("198.18.211.1:9000").unwrap();
    let start = Instant::now();
    let bytes = vec![0; 1 << 17];
    while start.elapsed() < SENDING {
        stream.write_all(&bytes).unwrap();
    }
}

/// Gbit/s, from the first byte to the last.
fn receive(listener: &TcpListener) -> f64 {
    let (mut stream, _) = listener.accept().unwrap();
    let mut buffer = vec![0; 1 << 17];
    let start = Instant::now();
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return total as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9,
            count => total += count,
        }
    }
}
