//! What stands below the request: IP and TCP with all that they may carry, and segments of any size.
use super::cases;
use crate::{
    bpf::{PacketCounter, Place, VlanEnd},
    check::{During as _, Outcome, check},
    client::Client,
    http::Request,
    netns::{Namespace, Offload},
    raw::{Peer, Shape},
    scene::{CLIENT_LINK, HOST, HOST_LINK, HOST6},
    world::{World, expect_status, is_rewritten, is_untouched},
};

cases![
    ipv4_with_options_is_served,
    ipv6_is_served,
    ipv6_with_extension_headers_is_served,
    a_vlan_tag_is_kept,
    segments_without_time_stamps_are_served,
    sysctls_of_tcp_do_not_matter,
    a_small_mtu_is_kept_to,
    a_large_mtu_is_served,
    segments_of_64_kib_over_loopback_are_served,
    segments_that_are_put_together_as_they_come_are_served,
];

/// A head of two segments and a body of two, from a peer whose frames look like this.
fn peer_is_served(world: &World, mut peer: Peer) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(&[b'x'; 900]);
    let bytes = request.bytes();
    for (place, end) in [(0, 70), (70, 500), (500, bytes.len())] {
        peer.send(place, &bytes[place..end])?;
    }
    expect_status(200, &peer.answer()?)?;
    // Kept alive, head and body in one segment.
    peer.send(bytes.len(), &bytes)?;
    expect_status(200, &peer.answer()?)?;
    peer.reset(bytes.len() * 2)?;
    world
        .gateway
        .seen(peer.address())?
        .iter()
        .try_for_each(|seen| is_rewritten(function, &request, seen))
}

fn ipv4_with_options_is_served(world: &World) -> Outcome {
    for words in 0..=10 {
        let shape = Shape {
            ipv4_options: words,
            ..Shape::default()
        };
        peer_is_served(world, Peer::open(&world.scene, shape)?)
            .during(format!("{words} words of options"))?;
    }
    Ok(())
}

fn ipv6_is_served(world: &World) -> Outcome {
    peer_is_served(world, Peer::open6(&world.scene, Shape::default())?)?;
    let request = Request::keyed(world.a()?).body(&[b'6'; 100_000]);
    world.serves(world.scene.wire_to(HOST6)?, &request)?;
    world.serves(world.scene.loopback("::1")?, &request)
}

fn ipv6_with_extension_headers_is_served(world: &World) -> Outcome {
    let shape = Shape {
        ipv6_options: true,
        ..Shape::default()
    };
    peer_is_served(world, Peer::open6(&world.scene, shape)?)
}

/// The program that takes the tag off runs after the agent's: what is released has its tag still.
fn a_vlan_tag_is_kept(world: &World) -> Outcome {
    let _end = VlanEnd::attach(&world.scene.host, HOST_LINK)?;
    let shape = Shape {
        vlan: Some(5),
        ..Shape::default()
    };
    peer_is_served(world, Peer::open(&world.scene, shape)?)?;
    peer_is_served(world, Peer::open6(&world.scene, shape)?)
}

fn segments_without_time_stamps_are_served(world: &World) -> Outcome {
    for time_stamps in [false, true] {
        let shape = Shape {
            time_stamps,
            ..Shape::default()
        };
        peer_is_served(world, Peer::open(&world.scene, shape)?)
            .during(format!("time stamps: {time_stamps}"))?;
    }
    Ok(())
}

fn sysctls_of_tcp_do_not_matter(world: &World) -> Outcome {
    for name in [
        "tcp_timestamps",
        "tcp_sack",
        "tcp_window_scaling",
        "tcp_ecn",
    ] {
        for value in ["0", "1"] {
            with_sysctl(&world.scene.client, &format!("ipv4/{name}"), value, || {
                cut_and_whole(world).during(format!("{name} = {value}"))
            })?;
        }
    }
    Ok(())
}

fn with_sysctl(
    namespace: &Namespace,
    name: &str,
    value: &str,
    work: impl FnOnce() -> Outcome,
) -> Outcome {
    let before = namespace.sysctl(name, value)?;
    let done = work();
    namespace.sysctl(name, &before)?;
    done
}

/// A request in two segments, and one with a body of many.
fn cut_and_whole(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(&[b'x'; 200_000]);
    let bytes = request.bytes();
    let (first, second) = bytes.split_at(90);
    for address in [HOST, HOST6] {
        let route = world.scene.wire_to(address)?;
        world.is_served(route, function, &request, [first, second])?;
        world.serves(route, &request)?;
    }
    Ok(())
}

fn a_small_mtu_is_kept_to(world: &World) -> Outcome {
    with_mtu(world, 1280)
}

fn a_large_mtu_is_served(world: &World) -> Outcome {
    with_mtu(world, 9000)
}

fn with_mtu(world: &World, mtu: u32) -> Outcome {
    let set = |mtu| -> Outcome {
        let scene = &world.scene;
        scene.host.ip(&format!("link set {HOST_LINK} mtu {mtu}"))?;
        scene
            .client
            .ip(&format!("link set {CLIENT_LINK} mtu {mtu}"))?;
        world.agent.wait_until_covered(HOST_LINK)
    };
    set(mtu)?;
    let done = cut_and_whole(world).and_then(|()| {
        // A head of several segments, which offloading may have made one.
        let request = Request::keyed(world.a()?).padded(12 << 10);
        world.serves(world.route()?, &request)
    });
    set(1500)?;
    done
}

fn segments_of_64_kib_over_loopback_are_served(world: &World) -> Outcome {
    let function = world.a()?;
    for address in ["127.0.0.1", "::1", HOST] {
        let route = world.scene.loopback(address)?;
        let request = Request::keyed(function).body(&[b'x'; 300_000]);
        world.serves(route, &request).during(address)?;
        let request = Request::keyed(function).padded(60_000);
        world.serves(route, &request).during(address)?;
    }
    Ok(())
}

/// Cut by their sender, and put together by the host's GRO before TC sees them, but behind XDP.
fn segments_that_are_put_together_as_they_come_are_served(world: &World) -> Outcome {
    let (host, client) = (&world.scene.host, &world.scene.client);
    // The kernel does so by itself, and lets nobody change it, where the other end is at XDP.
    let is_cut = world.agent.attach() == "xdp";
    let set = |merge: bool| -> Outcome {
        for offload in [Offload::Tso, Offload::Gso] {
            if !is_cut {
                client.offload(CLIENT_LINK, offload, !merge)?;
            }
        }
        host.offload(HOST_LINK, Offload::Gro, merge)?;
        // A veth looks for more at once, and would find each segment alone: it is to wait a little, in nanoseconds.
        let wait = if merge { "2000000" } else { "0" };
        host.set_link(HOST_LINK, "gro_flush_timeout", wait)
    };
    set(true)?;
    let done = are_put_together(world);
    set(false)?;
    done
}

fn are_put_together(world: &World) -> Outcome {
    const BODY: usize = 200_000;
    const LARGEST: usize = 1460;
    cut_and_whole(world)?;
    let function = world.a()?;
    let long_head = Request::keyed(function).padded(12 << 10).body(b"end");
    world.serves(world.route()?, &long_head)?;
    let arrived = PacketCounter::attach(&world.scene.host, HOST_LINK, Place::First)?;
    for (request, status) in [
        (Request::to(function), 423),
        (Request::keyed(function), 200),
    ] {
        let request = request.body(&[b'g'; BODY]);
        let before = arrived.packets()?;
        let mut client = Client::open(world.route()?)?;
        client.write(&request.bytes())?;
        expect_status(status, &client.answer()?)?;
        let packets = arrived.packets()? - before;
        check!(
            packets < (BODY / LARGEST / 2) as u64,
            "{packets} packets were not put together"
        );
        let seen = world.gateway.only(client.address()?)?;
        if status == 200 {
            is_rewritten(function, &request, &seen)?;
        } else {
            is_untouched(&request, &seen)?;
        }
    }
    Ok(())
}
