//! Callers on the host of a gateway in a container, at its published port: their packets are translated as they leave,
//! and come in nowhere on this host.

use super::{
    arrival::{is_served_again, is_served_by},
    cases,
    lease_limit::keyed,
};
use crate::{
    check::{During as _, Outcome, check, eventually},
    client::Client,
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
    the_same_head_is_served_over_and_over_from_the_gateways_host,
    a_connection_from_the_gateways_host_outlives_the_agent,
    a_caller_on_the_gateways_host_who_goes_before_the_answer_holds_no_lease,
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
        no_connection_is_left(world)
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
        let mut client = Client::open(route)?;
        let write = || client.write(&bytes[..40]);
        world.agent.until_counted("heads_acknowledged", write)?;
        client.write(&bytes[40..])?;
        expect_status(200, &client.answer()?)?;
        is_rewritten(world.a()?, &request, &dock.gateway.only(client.address()?)?)
    })
}

/// The programs let no request go on by itself there: behind a bridge it would be held once more.
fn the_same_head_is_served_over_and_over_from_the_gateways_host(world: &World) -> Outcome {
    from_host(world, |dock, route| {
        let known = world.agent.counter("admitted")?;
        is_served_again(world, &dock.gateway, route)?;
        check!(
            world.agent.counter("admitted")? == known,
            "it has gone on by itself"
        );
        Ok(())
    })
}

fn a_connection_from_the_gateways_host_outlives_the_agent(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?);
    from_host(world, |_, route| {
        let mut client = Client::open(route)?;
        world.agent.stop()?;
        world.agent.start(&world.scene)?;
        for _ in 0..3 {
            client.write(&request.bytes())?;
            expect_status(200, &client.answer()?)?;
        }
        drop(client);
        no_connection_is_left(world)
    })
}

/// What the gateway sends then is answered by a RST in the connection's name, without its socket before Linux 6.13.
fn a_caller_on_the_gateways_host_who_goes_before_the_answer_holds_no_lease(
    world: &World,
) -> Outcome {
    let slow = keyed(world, "slow")?;
    from_host(world, |dock, route| {
        let mut client = Client::open(route)?;
        client.write(&slow.bytes())?;
        let address = client.address()?;
        eventually("the gateway to read the request", || {
            // It may not even have accepted the connection.
            let seen = dock.gateway.seen(address);
            Ok(seen.is_ok_and(|seen| seen.len() == 1))
        })?;
        drop(client);
        no_connection_is_left(world)
    })
}

fn no_connection_is_left(world: &World) -> Outcome {
    eventually("the connection's end to be noticed", || {
        Ok(world.agent.function(functions::A)?["connections"] == 0)
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
