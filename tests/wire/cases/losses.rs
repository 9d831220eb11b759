//! What networks lose: clients that acknowledge selectively, and networks that lose what the kernel's TCP sends.
use super::{bodies::noise, cases, lease_limit};
use crate::{
    check::{During as _, Outcome, check},
    client::Client,
    http::Request,
    netns::{Namespace, Offload},
    raw::{Peer, Shape},
    scene::Route,
    world::{World, expect_status, is_rewritten},
};

cases![
    a_gateway_that_acknowledges_selectively_gets_the_whole_body,
    a_request_that_acknowledges_a_part_of_the_last_answer_selectively_is_served,
    a_network_that_loses_segments_costs_time_only,
];

const SELECTIVE: Shape = Shape {
    selective: true,
    time_stamps: true,
    vlan: None,
    ipv4_options: 0,
    ipv6_options: false,
};

fn a_gateway_that_acknowledges_selectively_gets_the_whole_body(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(&noise(5000));
    let bytes = request.bytes();
    let head = request.head().len();
    let mut peer = Peer::open(&world.scene, SELECTIVE)?;
    peer.send(0, &bytes[..head])?;
    peer.delivered(head)?;
    let segments: Vec<_> = (head..bytes.len()).step_by(500).collect();
    for place in segments.iter().rev() {
        peer.send(*place, &bytes[*place..*place + 500])?;
    }
    expect_status(200, &peer.answer()?)?;
    peer.reset(bytes.len())?;
    check!(
        peer.selected() > 0,
        "nothing was acknowledged out of its turn"
    );
    is_rewritten(function, &request, &world.gateway.only(peer.address())?)
}

/// The second request is sent while a piece of the answer to the first is missing.
fn a_request_that_acknowledges_a_part_of_the_last_answer_selectively_is_served(
    world: &World,
) -> Outcome {
    let function = world.a()?;
    let first = lease_limit::keyed(world, "stream")?.bytes();
    let second = Request::keyed(function).body(b"selective");
    let mut peer = Peer::open(&world.scene, SELECTIVE)?;
    peer.send(0, &first)?;
    peer.until_a_piece_is_missing()?;
    peer.send(first.len(), &second.bytes())?;
    let answer = peer.answer()?;
    expect_status(200, &answer)?;
    let ticks = answer
        .body
        .windows(4)
        .filter(|text| text == b"tick")
        .count();
    check!(ticks == 30, "{ticks} of 30 pieces have come");
    // Acknowledgements that have overtaken it have later time stamps: the gateway's TCP drops it then (RFC 7323, section 5).
    peer.send_unless_delivered(first.len(), &second.bytes())?;
    expect_status(200, &peer.answer()?)?;
    peer.reset(first.len() + second.bytes().len())?;
    let seen = world.gateway.seen(peer.address())?;
    check!(seen.len() == 2, "{} requests", seen.len());
    is_rewritten(function, &second, &seen[1])
}

/// A host between the two, over which some address of the gateway's host is reached; gone when dropped.
struct Router<'a> {
    world: &'a World,
    namespace: Namespace,
}

impl<'a> Router<'a> {
    const GATEWAY: &'static str = "198.18.219.1";

    fn new(world: &'a World) -> Outcome<Self> {
        let (host, client) = (&world.scene.host, &world.scene.client);
        let namespace = Namespace::new("rsfaas-wire-router")?;
        let router = Self { world, namespace };
        for (end, network, link) in [(host, 219, "wire-r"), (client, 218, "wire-rc")] {
            let between = router.namespace.name();
            end.ip(&format!(
                "link add {link} type veth peer name {link}-r netns {between}"
            ))?;
            for (namespace, link, address) in [
                (end, link.to_owned(), format!("198.18.{network}.1")),
                (
                    &router.namespace,
                    format!("{link}-r"),
                    format!("198.18.{network}.2"),
                ),
            ] {
                namespace.ip(&format!("address add {address}/24 dev {link}"))?;
                namespace.ip(&format!("link set {link} up"))?;
            }
            end.ip(&format!(
                "route add 198.18.{}.0/24 via 198.18.{network}.2",
                437 - network
            ))?;
            // What is lost is to be one segment, and not many that are cut later.
            for offload in [Offload::Tso, Offload::Gso] {
                end.offload(link, offload, false)?;
            }
        }
        router.namespace.sysctl("ipv4/ip_forward", "1")?;
        world.agent.wait_until_covered("wire-r")?;
        Ok(router)
    }
}

impl Drop for Router<'_> {
    fn drop(&mut self) {
        // Those that were made before it failed.
        for (end, link) in [
            (&self.world.scene.host, "wire-r"),
            (&self.world.scene.client, "wire-rc"),
        ] {
            let _ = end.ip(&format!("link delete {link}"));
        }
    }
}

/// One of the kernel's counters of TCP (`/proc/net/netstat`).
fn tcp_counter(namespace: &Namespace, name: &str) -> Outcome<u64> {
    let text = namespace.run("cat /proc/net/netstat")?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let found = names
        .split(' ')
        .zip(values.split(' '))
        .find(|(found, _)| *found == name);
    Ok(found.map_or("", |(_, value)| value).parse()?)
}

fn a_network_that_loses_segments_costs_time_only(world: &World) -> Outcome {
    let function = world.a()?;
    let router = Router::new(world)?;
    router.namespace.run(
        "iptables -w -A FORWARD -p tcp -m length --length 100:2000 -m statistic --mode nth --every 7 --packet 2 -j DROP",
    )?;
    let route = Route::new(&world.scene.client, Router::GATEWAY)?;
    let recovered = || tcp_counter(&world.scene.client, "TCPSackRecovery");
    let before = recovered()?;
    for length in [10, 5_000, 300_000] {
        let request = Request::keyed(function).body(&noise(length));
        let mut client = Client::open(route)?;
        for _ in 0..3 {
            client.write(&request.bytes())?;
            expect_status(200, &client.answer()?).during(format!("{length} bytes"))?;
        }
        let seen = world.gateway.seen(client.address()?)?;
        check!(seen.len() == 3, "{} requests", seen.len());
        seen.iter()
            .try_for_each(|seen| is_rewritten(function, &request, seen))?;
    }
    check!(
        recovered()? > before,
        "nothing was lost that was acknowledged around"
    );
    let lost = dropped(&router.namespace)?;
    check!(lost > 50, "only {lost} segments were lost");
    Ok(())
}

/// How many packets the firewall has dropped.
fn dropped(namespace: &Namespace) -> Outcome<u64> {
    let rules = namespace.run("iptables -w -L FORWARD -v -n -x")?;
    let rule = rules.lines().find(|line| line.contains(" DROP "));
    let count = rule.and_then(|line| line.split_whitespace().next());
    Ok(count.unwrap_or("0").parse()?)
}
