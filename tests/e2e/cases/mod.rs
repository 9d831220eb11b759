//! What must hold, one behaviour each. Every case leaves the functions locked.
mod agent_gone;
mod browser;
mod by_image;
mod calls;
mod clock;
mod connections;
mod failures;
pub(crate) mod faults;
mod handlers;
mod isolation;
mod next_key;
pub(crate) mod parts;
mod refusals;
mod sealing;
mod status;
mod streams;
mod templates;

use std::{collections::BTreeSet, fs, path::PathBuf};

use rsfaas::{rebuild::UnlockedNames, state::StateDir};
use rsfaas_shim::Refusal;

pub(crate) use templates::TEMPLATES;

use crate::{
    World,
    host::{Error, check, eventually, run},
    http::{Answer, Connection, Request},
};

/// One behaviour.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What it works with, and no other case meanwhile.
    pub(crate) functions: &'static [&'static str],
    pub(crate) run: fn(&World) -> Result<(), Error>,
}

const PYDICT: &str = "pydict";
const ECHO: &str = "echo-headers";
const PACKAGES: &str = "packages";
const EVENTS: &str = "events";

macro_rules! cases {
    ($list:ident: $([$($function:expr),*] $topic:ident::$name:ident,)+) => {
        pub(crate) const $list: &[Case] = &[$(Case {
            name: stringify!($name),
            functions: &[$($function),*],
            run: $topic::$name,
        },)+];
    };
}

// Those that leave the agent as it is.
cases! { BESIDE:
    [PYDICT] calls::a_call_without_a_key_is_told_what_to_do,
    [PYDICT] calls::a_call_with_the_key_is_answered_by_the_function,
    [PYDICT] calls::a_call_is_answered_however_the_gateway_lets_the_path_be_spelled,
    [PYDICT] calls::the_handler_is_ciphertext_again_with_other_bytes_after_the_close,
    [PYDICT] calls::fifty_clients_share_one_unlock,
    [PYDICT] calls::keyless_callers_get_423_all_the_while,
    [ECHO] calls::the_function_never_sees_the_key,
    [PACKAGES] calls::a_function_of_packages_a_data_file_and_a_slow_import_works,
    [PYDICT] status::what_the_agent_does_is_shown_as_text_and_as_json,
    [PYDICT] status::a_lease_is_shown_with_what_will_end_it_and_a_parked_container_with_its_memory,
    [PYDICT] status::the_memory_of_a_parked_container_is_kept_out_of_swap_where_its_control_group_can,
    [PYDICT] refusals::a_wrong_key_is_refused_and_nothing_is_built,
    [PYDICT] refusals::a_malformed_key_is_told_from_a_wrong_one,
    [PYDICT, ECHO] refusals::each_key_opens_only_its_own_function,
    [PYDICT] refusals::an_unlocked_container_cannot_be_called_by_its_name,
    [PYDICT] refusals::an_asynchronous_call_with_a_key_is_refused,
    [PYDICT] connections::a_head_that_comes_in_pieces_is_held_until_it_is_whole,
    [PYDICT] connections::each_request_on_a_kept_connection_is_judged_by_itself,
    [PYDICT] connections::a_client_on_another_host_is_served,
    [PYDICT] connections::a_client_over_ipv6_is_served,
    [PYDICT] connections::a_client_inside_a_container_is_served,
    [PYDICT] connections::a_client_that_comes_through_a_published_port_is_served,
    [PYDICT] connections::two_keyed_requests_on_one_connection_share_the_lease,
    [PYDICT] connections::a_large_body_arrives_whole,
    [ECHO] browser::a_page_from_elsewhere_calls_with_and_without_the_key,
    [EVENTS] streams::an_answer_of_server_sent_events_comes_whole_and_keeps_the_function_unlocked,
    [ECHO] streams::a_request_to_switch_protocols_is_answered_as_the_gateway_carries_it,
    [PYDICT] next_key::the_next_key_opens_after_the_lease_and_the_old_one_nothing_any_more,
    [PYDICT] next_key::a_malformed_next_key_is_refused_before_anything_is_unlocked,
    [PYDICT] next_key::of_two_next_keys_in_a_lease_the_first_has_its_way,
    [PYDICT] next_key::each_call_may_have_a_key_of_its_own,
    [ECHO] isolation::two_connections_have_two_containers_which_end_with_them,
    [PYDICT] agent_gone::where_an_agent_runs_a_sweep_is_refused,
    [PYDICT] sealing::no_plaintext_is_in_any_layer_or_file_of_the_parked_container,
    [PYDICT] sealing::sealing_again_changes_nothing,
    [PYDICT] sealing::sealing_again_brings_a_locked_function_back_that_was_removed,
    [PYDICT] sealing::an_interrupted_seal_can_be_finished,
    [PYDICT] sealing::the_sealed_handler_can_be_inspected_without_and_opened_with_the_key,
    [PYDICT] sealing::unsealing_gives_the_plain_function_back,
    [PYDICT] sealing::a_function_that_is_forgotten_while_it_is_served_is_locked_and_on_no_list_any_more,
}

// The same with faults that strike `pydict` alone: everything is searched for its canary after each of them.
cases! { FAULTS:
    [PYDICT] handlers::a_handler_that_does_not_start_is_told_and_the_right_one_served_afterwards,
    [PYDICT] handlers::a_function_that_crashes_is_delivered_again_while_its_lease_is_open,
    [PYDICT] failures::on_a_full_disk_the_old_ciphertext_stays_and_opens,
}

// Those that look at the agent's counters of everybody.
cases! { COUNTING:
    [] connections::clients_are_served_while_addresses_of_the_host_change,
    [] next_key::neither_function_nor_gateway_sees_the_next_key,
}

// Those that end the agent, search everything, or leave images to the agent; `pydict` alone is sealed by then. After
// each of them everything is searched for its canary.
cases! { ENDING:
    [] connections::callers_behind_a_reverse_proxy_are_told_apart_and_the_lease_ends_when_they_are_gone,
    [] next_key::an_agent_killed_before_the_close_leaves_the_old_key_valid,
    [] isolation::a_connection_beyond_the_bound_is_served_when_another_has_ended,
    [] by_image::a_function_rebuilt_by_image_is_answered_and_its_image_purged,
    [] by_image::images_that_a_killed_agent_left_are_purged_by_its_successor,
    [] agent_gone::a_stopped_agent_leaves_nothing_unlocked,
    [] agent_gone::the_rights_that_the_unit_gives_are_enough_to_unlock_serve_and_lock,
    [] agent_gone::a_killed_agent_leaves_a_locked_function_and_its_successor_sweeps,
    [] agent_gone::what_the_unit_runs_after_an_agent_that_died_unlocked_leaves_no_container_and_no_process,
    [] failures::without_faas_cli_callers_are_told_and_with_it_they_are_served_again,
    [] failures::a_faas_cli_that_fails_at_an_unlock_has_its_caller_told_who_is_served_once_it_works,
    [] failures::a_faas_cli_that_fails_while_it_locks_leaves_ciphertext_and_no_process,
    [] failures::a_faas_cli_that_hangs_has_callers_told_in_time,
    [] failures::a_gateway_that_fails_hangs_or_is_gone_has_callers_told_and_is_used_again,
    [] clock::a_clock_that_is_set_ends_no_lease_and_what_is_sealed_then_opens,
    [] failures::a_client_that_vanishes_without_a_word_holds_its_lease_until_the_idle_limit,
    [] faults::the_canary_and_the_key_are_found_while_the_function_is_unlocked,
    [] handlers::a_function_that_never_answers_is_locked_at_the_lease_limit_and_its_caller_told,
}

/// Those that call after an agent that has not detached its programs: where these end with it.
pub(crate) const NEED_TCX: [&str; 1] =
    ["a_killed_agent_leaves_a_locked_function_and_its_successor_sweeps"];

const NIGHT: &str = r#"{"word": "night"}"#;

fn keyed(world: &World, function: &str, body: &str) -> Result<Answer, Error> {
    let key = world.author.key(function)?;
    Request::call(function, body).key(&key).send(&world.host)
}

fn expect(answer: &Answer, status: u16, part: &str) -> Result<(), Error> {
    check!(
        answer.status == status && answer.body.contains(part),
        "not {status} with {part:?} but:\n{}{}",
        answer.head,
        answer.body
    );
    Ok(())
}

/// The locked function has told its caller why, in words and for programs, and when to try again.
fn is_refused(answer: &Answer, function: &str, refusal: Refusal) -> Result<(), Error> {
    let head = answer.head.to_ascii_lowercase();
    let told_to_wait = refusal
        .retry_after()
        .is_none_or(|seconds| head.contains(&format!("\r\nretry-after: {seconds}\r\n")));
    let body = serde_json::json!({
        "error": refusal.reason(),
        "function": function,
        "message": refusal.message(function, rsfaas_shim::DEFAULT_KEY_HEADER),
    });
    check!(
        answer.status == refusal.status()
            && told_to_wait
            && head.contains("\r\ncontent-type: application/json\r\n")
            && serde_json::from_str(&answer.body).ok() == Some(body),
        "it is not told of {refusal:?} but:\n{}{}",
        answer.head,
        answer.body
    );
    Ok(())
}

/// A connection on which a request was answered, and which holds the lease until it is dropped.
fn hold(world: &World, request: &Request, part: &str) -> Result<Connection, Error> {
    let mut connection = Connection::open(&world.host)?;
    connection.write(&request.bytes())?;
    expect(&connection.answer()?, 200, part)?;
    Ok(connection)
}

/// The same by the owner of `pydict`'s key.
fn hold_pydict(world: &World) -> Result<Connection, Error> {
    let request = Request::call("pydict", NIGHT).key(&world.author.key("pydict")?);
    hold(world, &request, "noche")
}

/// Seals a sealed function again with another setting, `rebuild` or `isolation`, and waits until the agent has it.
fn seal_with(world: &World, function: &str, setting: &str, value: &str) -> Result<(), Error> {
    let sealing = world.author.sealing();
    let mut command = world
        .author
        .seal_command(&world.host, &world.agent, function);
    run(command.args([&format!("--{setting}"), value]))?;
    drop(sealing);
    eventually("the agent to take the change up", || {
        Ok(world
            .agent
            .function(function)
            .is_ok_and(|function| function[setting] == value))
    })
}

/// Without an agent `pydict` is locked, and one that starts serves it.
fn is_locked_until_an_agent_starts(world: &World) -> Result<(), Error> {
    expect(
        &Request::call("pydict", NIGHT).send(&world.host)?,
        423,
        "pydict",
    )?;
    world.agent.restart()?;
    world.agent.wait_until_parked()?;
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

/// How the agent calls its containers.
fn names(world: &World) -> Result<UnlockedNames, Error> {
    let state = StateDir::new(world.agent.state_dir());
    Ok(UnlockedNames::of_host(&state)?)
}

/// The processes that show that they are in a container of the agent's own, by their folders in `/proc`.
fn own_processes(world: &World) -> Result<Vec<PathBuf>, Error> {
    let token = format!("RSFAAS_PARK_TOKEN={}-", names(world)?.host_id()).into_bytes();
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        // What is no process has none, and what has ended none any more.
        if let Ok(environ) = fs::read(process.join("environ"))
            && environ
                .split(|byte| *byte == 0)
                .any(|variable| variable.starts_with(&token))
        {
            processes.push(process);
        }
    }
    Ok(processes)
}

/// The containers, by their mount namespaces, in which processes of the agent's own are.
fn containers_with_processes(world: &World) -> Result<BTreeSet<PathBuf>, Error> {
    let processes = own_processes(world)?.into_iter();
    Ok(processes
        .filter_map(|process| fs::read_link(process.join("ns/mnt")).ok())
        .collect())
}

/// Processes of the agent's containers are in those that are parked, and in no others.
fn only_what_is_parked_runs(world: &World) -> Result<(), Error> {
    eventually("what has served to be gone", || {
        let status = world.agent.status()?;
        let functions = status["functions"].as_array().cloned().unwrap_or_default();
        let parked: BTreeSet<_> = functions
            .iter()
            .filter_map(|function| function["parked"].as_array())
            .flatten()
            .filter_map(|parked| fs::read_link(format!("/proc/{}/ns/mnt", parked["pid"])).ok())
            .collect();
        Ok(containers_with_processes(world)?.is_subset(&parked))
    })
}

/// The agent's own containers that the gateway knows.
fn unlocked_functions(world: &World) -> Result<Vec<String>, Error> {
    let text = run(std::process::Command::new("faas-cli")
        .args(["list", "--quiet"])
        .env(
            "OPENFAAS_URL",
            format!("http://127.0.0.1:{}", world.host.port),
        ))?;
    let names = names(world)?;
    Ok(text
        .split_whitespace()
        .filter(|name| names.is_own(name))
        .map(str::to_owned)
        .collect())
}
