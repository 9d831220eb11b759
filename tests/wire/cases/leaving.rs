//! Callers on the host of a gateway in a container, at its published port: their packets are translated as they leave,
//! and come in nowhere on this host.
use std::thread;

use super::{arrival::is_served_by, cases};
use crate::{
    check::{During as _, Outcome, check, eventually},
    client::{Client, SENT_AGAIN},
    dock::{Dock, GATEWAYS, with_rule},
    functions,
    http::Request,
    scene::{HOST, HOST6, PORT, Route},
    world::{World, expect_status, is_rewritten, is_untouched},
};

cases![
    a_caller_on_the_gateways_host_is_served_at_the_published_port,
    a_keyless_caller_on_the_gateways_host_is_left_alone,
    a_head_in_parts_is_served_from_the_gateways_host,
    known_heads_go_on_by_themselves_from_the_gateways_host,
    an_unlocked_container_is_not_called_by_name_from_the_gateways_host,
    what_a_proxy_of_the_hosts_sends_on_is_left_alone,
];

/// Does something where a caller on the gateway's host gets to the gateway by this way.
fn from_host(world: &World, work: impl Fn(&Dock<'_>, Route<'_>) -> Outcome) -> Outcome {
    let dock = Dock::new(world)?;
    let host = &world.scene.host;
    for (iptables, published, gateway) in [
        ("iptables", HOST, GATEWAYS[0].to_owned()),
        ("ip6tables", HOST6, format!("[{}]", GATEWAYS[1])),
    ] {
        let rule =
            format!("OUTPUT -d {published} -p tcp --dport {PORT} -j DNAT --to {gateway}:{PORT}");
        with_rule(host, iptables, &rule, || {
            work(&dock, Route::new(host, published)?)
        })
        .during(published)?;
    }
    Ok(())
}

fn a_caller_on_the_gateways_host_is_served_at_the_published_port(world: &World) -> Outcome {
    from_host(world, |dock, route| {
        is_served_by(world, &dock.gateway, route)?;
        eventually("the connection's end to be noticed", || {
            Ok(world.agent.function(functions::A)?["connections"] == 0)
        })
    })
}

fn a_keyless_caller_on_the_gateways_host_is_left_alone(world: &World) -> Outcome {
    let request = Request::to(world.a()?).body(b"without");
    from_host(world, |dock, route| {
        let mut client = Client::open(route)?;
        client.write(&request.bytes())?;
        expect_status(423, &client.answer()?)?;
        is_untouched(&request, &dock.gateway.only(client.address()?)?)
    })
}

/// The part is acknowledged in the gateway's name, by a packet that comes in.
fn a_head_in_parts_is_served_from_the_gateways_host(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"later");
    let bytes = request.bytes();
    from_host(world, |dock, route| {
        let acknowledged = world.agent.counter("heads_acknowledged")?;
        let mut client = Client::open(route)?;
        client.write(&bytes[..40])?;
        thread::sleep(SENT_AGAIN);
        client.write(&bytes[40..])?;
        expect_status(200, &client.answer()?)?;
        is_rewritten(world.a()?, &request, &dock.gateway.only(client.address()?)?)?;
        check!(
            world.agent.counter("heads_acknowledged")? > acknowledged,
            "it came without"
        );
        Ok(())
    })
}

/// Over and over, on one connection: the bytes that go on are not those that the client's TCP has to send again.
fn known_heads_go_on_by_themselves_from_the_gateways_host(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"once more");
    from_host(world, |dock, route| {
        let known = world.agent.counter("admitted")?;
        let mut client = Client::open(route)?;
        for _ in 0..30 {
            client.write(&request.bytes())?;
            expect_status(200, &client.answer()?)?;
        }
        for seen in dock.gateway.seen(client.address()?)? {
            is_rewritten(world.a()?, &request, &seen)?;
        }
        check!(
            world.agent.counter("admitted")? > known,
            "none has gone on by itself"
        );
        Ok(())
    })
}

fn an_unlocked_container_is_not_called_by_name_from_the_gateways_host(world: &World) -> Outcome {
    from_host(world, |_, route| {
        let (_holder, name) = world.holder()?;
        let mut client = Client::open(route)?;
        client.write(&Request::line(&format!("GET /function/{name} HTTP/1.1")).bytes())?;
        expect_status(404, &client.answer()?)
    })
}

/// It was spotted on its way to the proxy, and leads to the unlocked container now.
fn what_a_proxy_of_the_hosts_sends_on_is_left_alone(world: &World) -> Outcome {
    let _dock = Dock::new(world)?;
    let (_holder, name) = world.holder()?;
    for address in GATEWAYS {
        let mut client = Client::open(Route::new(&world.scene.host, address)?)?;
        client.write(&Request::line(&format!("GET /function/{name} HTTP/1.1")).bytes())?;
        expect_status(200, &client.answer()?)?;
    }
    Ok(())
}
