//! The gateway's port is what the configuration says.
use super::cases;
use crate::{
    check::Outcome,
    client::Client,
    functions,
    gateway::Gateway,
    http::Request,
    scene::{PORT, Route},
    world::{World, expect_status, is_rewritten, is_untouched},
};

cases![another_port_is_the_gateways_and_the_usual_one_is_not];

const OTHER: u16 = 18_080;

fn another_port_is_the_gateways_and_the_usual_one_is_not(world: &World) -> Outcome {
    let gateway = world.gateway_at(&world.scene.host, OTHER)?;
    let lines = format!("gateway = \"http://127.0.0.1:{PORT}\"\n");
    world.agent.stop()?;
    world.agent.start_at(&world.scene, OTHER, &lines)?;
    let done = is_spotted_at(world, &gateway, OTHER).and_then(|()| passes_at_the_usual_one(world));
    world.agent.stop()?;
    world.agent.start(&world.scene)?;
    done
}

fn is_spotted_at(world: &World, gateway: &Gateway, port: u16) -> Outcome {
    let (wire, loopback) = (world.route()?, world.scene.loopback("127.0.0.1")?);
    for Route { from, mut to } in [wire, loopback] {
        to.set_port(port);
        let request = Request::keyed(world.a()?).body(b"another port");
        let mut client = Client::open(Route { from, to })?;
        client.write(&request.bytes())?;
        expect_status(200, &client.answer()?)?;
        is_rewritten(world.a()?, &request, &gateway.only(client.address()?)?)?;
    }
    Ok(())
}

/// Nobody takes the key out there.
fn passes_at_the_usual_one(world: &World) -> Outcome {
    let request = Request::keyed(world.function(functions::EXPOSED)?);
    let mut client = Client::open(world.route()?)?;
    client.write(&request.bytes())?;
    expect_status(423, &client.answer()?)?;
    is_untouched(&request, &world.gateway.only(client.address()?)?)
}
