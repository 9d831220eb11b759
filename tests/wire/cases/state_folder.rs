//! The state folder, as the agent that runs follows it.
use std::fs;

use rsfaas_shim::Refusal;

use super::cases;
use crate::{
    check::{Outcome, check, eventually},
    client::Client,
    functions,
    http::Request,
    world::{World, expect_refused, expect_status},
};

/// Somebody else runs already.
const EXISTS: i32 = 5;

cases![
    an_agent_whose_state_folder_cannot_be_read_serves_on_and_follows_it_later,
    a_sweep_or_a_second_agent_of_the_same_state_folder_is_refused,
    a_function_whose_containers_are_slow_to_go_still_answers,
    a_key_for_a_function_whose_record_is_damaged_is_refused_and_taken_out,
];

/// Waits until the agent serves a function whose record is there again.
fn is_served_again(world: &World) -> Outcome {
    eventually("the function to be served again", || {
        let parked = world
            .agent
            .function(functions::B)
            .map(|it| it["parked"].clone());
        Ok(parked.is_ok_and(|parked| parked.as_array().is_some_and(|all| !all.is_empty())))
    })
}

/// The watch is on the folder, wherever it is moved: the agent learns of the change, and finds a file in its place.
fn an_agent_whose_state_folder_cannot_be_read_serves_on_and_follows_it_later(
    world: &World,
) -> Outcome {
    let records = world.agent.state_dir().join("functions");
    let (moved, record) = (
        world.agent.state_dir().join("moved"),
        format!("{}.json", functions::B),
    );
    let kept = world.agent.state_dir().join("kept");
    let serves = || world.serves(world.route()?, &Request::keyed(world.a()?).body(b"on"));
    serves()?;
    fs::rename(&records, &moved)?;
    fs::write(&records, "")?;
    fs::rename(moved.join(&record), &kept)?;
    fs::write(moved.join("change"), "")?;
    let told = eventually("the agent to say so", || {
        Ok(world.agent.log_end().contains("not followed"))
    });
    let served = serves();
    let is_there = world.agent.function(functions::B).is_ok();
    fs::remove_file(moved.join("change"))?;
    fs::remove_file(&records)?;
    fs::rename(&moved, &records)?;
    let followed = eventually("the agent to look again", || {
        Ok(world.agent.function(functions::B).is_err())
    });
    fs::rename(&kept, records.join(&record))?;
    is_served_again(world)?;
    told?;
    served?;
    check!(is_there, "what could not be looked at is no longer served");
    followed
}

/// Also where it would answer on another socket.
fn a_sweep_or_a_second_agent_of_the_same_state_folder_is_refused(world: &World) -> Outcome {
    for command in ["sweep", "agent"] {
        let refused = world.agent.beside(command)?;
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        check!(
            refused.status.code() == Some(EXISTS) && told.contains("runs already"),
            "{command}: {}: {told}",
            refused.status
        );
    }
    world.serves(world.route()?, &Request::keyed(world.a()?).body(b"alone"))
}

fn a_function_whose_containers_are_slow_to_go_still_answers(world: &World) -> Outcome {
    let record = format!("functions/{}.json", functions::B);
    let record = world.agent.state_dir().join(record);
    let kept = fs::read(&record)?;
    let request = Request::keyed(world.function(functions::B)?);
    let answered = world.containers.while_removals_hang(|| {
        fs::remove_file(&record)?;
        eventually("the function to be stopped", || {
            Ok(world.agent.function(functions::B)?["parked"] == serde_json::json!([]))
        })?;
        let mut client = Client::open(world.route()?)?;
        client.write(&request.bytes())?;
        let answer = client.answer()?;
        let is_there = world.agent.function(functions::B).is_ok();
        check!(is_there, "the status comes when everything is removed");
        Ok((answer, world.gateway.only(client.address()?)?))
    });
    fs::write(&record, kept)?;
    is_served_again(world)?;
    // By the locked function, which says why.
    let (answer, seen) = answered?;
    expect_status(423, &answer)?;
    expect_refused(Refusal::RebuildFailed, &seen)
}

fn a_key_for_a_function_whose_record_is_damaged_is_refused_and_taken_out(world: &World) -> Outcome {
    let record = format!("functions/{}.json", functions::B);
    let record = world.agent.state_dir().join(record);
    let kept = fs::read(&record)?;
    let request = Request::keyed(world.function(functions::B)?).body(b"damaged");
    fs::write(&record, "{")?;
    let refused = eventually("the function to be stopped", || {
        let parked = world.agent.function(functions::B);
        Ok(parked.map_or(true, |it| it["parked"] == serde_json::json!([])))
    })
    .and_then(|()| {
        let mut client = Client::open(world.route()?)?;
        client.write(&request.bytes())?;
        expect_status(423, &client.answer()?)?;
        expect_refused(
            Refusal::RebuildFailed,
            &world.gateway.only(client.address()?)?,
        )
    });
    fs::write(&record, kept)?;
    is_served_again(world)?;
    refused?;
    let bytes = request.bytes();
    let function = world.function(functions::B)?;
    world.is_served(world.route()?, function, &request, [bytes.as_slice()])
}
