//! Answers that come bit by bit, and connections that would be more than HTTP.
use super::expect;
use crate::{
    World,
    host::{Error, check},
    http::{Connection, Request},
};

pub(super) fn an_answer_of_server_sent_events_comes_whole_and_keeps_the_function_unlocked(
    world: &World,
) -> Result<(), Error> {
    let request = Request::call("events", "20").key(&world.author.key("events")?);
    let mut connection = Connection::open(&world.host)?;
    connection.write(&request.bytes())?;
    let answer = connection.answer()?;
    expect(&answer, 200, "data: event 0\n\n")?;
    expect(&answer, 200, "data: event 19\n\n")?;
    let phase = world.agent.function("events")?["phase"].clone();
    check!(phase == "unlocked", "{phase} while the connection is open");
    drop(connection);
    world.agent.wait_until_locked("events")
}

/// The gateway's own business: this one asks the function without the switch, others may switch.
pub(super) fn a_request_to_switch_protocols_is_answered_as_the_gateway_carries_it(
    world: &World,
) -> Result<(), Error> {
    let request = Request::call("echo-headers", "")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    expect(&request.send(&world.host)?, 423, "echo-headers")?;
    let request = request.key(&world.author.key("echo-headers")?);
    let answer = request.send(&world.host)?;
    expect(&answer, 200, "Sec-Websocket-Version")?;
    check!(
        !answer.body.contains("rsfaas1"),
        "the function saw the key: {}",
        answer.body
    );
    world.agent.wait_until_locked("echo-headers")
}
