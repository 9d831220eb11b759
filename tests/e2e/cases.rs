//! What must hold, one behaviour each. Every case leaves the functions locked.
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::{
    World,
    host::{Error, check, eventually, fail, run},
    http::{Answer, Connection, Request},
    netns::ClientHost,
    proxy::Proxy,
};

type Case = fn(&World) -> Result<(), Error>;

macro_rules! cases {
    ($($name:ident,)+) => {
        /// Every case with its name.
        pub(crate) const ALL: &[(&str, Case)] = &[$((stringify!($name), $name),)+];
    };
}

cases! {
    a_call_without_a_key_is_told_what_to_do,
    a_call_with_the_key_is_answered_by_the_function,
    the_handler_is_ciphertext_again_with_other_bytes_after_the_close,
    a_wrong_key_is_refused_and_nothing_is_built,
    a_malformed_key_is_told_from_a_wrong_one,
    each_key_opens_only_its_own_function,
    fifty_clients_share_one_unlock,
    keyless_callers_get_423_all_the_while,
    the_function_never_sees_the_key,
    a_function_of_packages_a_data_file_and_a_slow_import_works,
    a_head_that_comes_in_pieces_is_held_until_it_is_whole,
    each_request_on_a_kept_connection_is_judged_by_itself,
    a_client_on_another_host_is_served,
    a_client_over_ipv6_is_served,
    clients_are_served_while_addresses_of_the_host_change,
    two_keyed_requests_on_one_connection_share_the_lease,
    callers_behind_a_reverse_proxy_are_told_apart_and_the_lease_ends_when_they_are_gone,
    a_large_body_arrives_whole,
    an_unlocked_container_cannot_be_called_by_its_name,
    an_asynchronous_call_with_a_key_is_refused,
    no_plaintext_is_in_any_layer_or_file_of_the_parked_container,
    sealing_again_changes_nothing,
    an_interrupted_seal_can_be_finished,
    the_sealed_handler_can_be_inspected_without_and_opened_with_the_key,
    a_function_rebuilt_by_image_is_answered_and_its_image_purged,
    images_that_a_killed_agent_left_are_purged_by_its_successor,
    a_stopped_agent_leaves_nothing_unlocked,
    a_killed_agent_leaves_a_locked_function_and_its_successor_sweeps,
    unsealing_gives_the_plain_function_back,
}

/// A sentence of the `pydict` handler.
const CANARY: &[u8] = b"A dictionary: a word in, its translation out.";
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

fn a_call_without_a_key_is_told_what_to_do(world: &World) -> Result<(), Error> {
    let answer = Request::call("pydict", NIGHT).send(&world.host)?;
    expect(&answer, 423, "X-RsFaaS-Key")?;
    expect(&answer, 423, "pydict")
}

fn a_call_with_the_key_is_answered_by_the_function(world: &World) -> Result<(), Error> {
    let answer = keyed(world, "pydict", NIGHT)?;
    expect(&answer, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

fn the_handler_is_ciphertext_again_with_other_bytes_after_the_close(
    world: &World,
) -> Result<(), Error> {
    let sealed = world.author.sealed("pydict");
    let before = fs::read(&sealed)?;
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")?;
    let after = fs::read(&sealed)?;
    check!(
        before != after,
        "the sealed handler has the same bytes as before"
    );
    check!(
        before.len() == after.len(),
        "the sealed handler has another length"
    );
    for plain in ["noche", "def handle", "translation"] {
        check!(
            !after
                .windows(plain.len())
                .any(|window| window == plain.as_bytes()),
            "the sealed handler contains {plain:?}"
        );
    }
    let unlocked = world.agent.function("pydict")?["unlocked"].clone();
    check!(unlocked.is_null(), "{unlocked} still serves");
    Ok(())
}

fn a_wrong_key_is_refused_and_nothing_is_built(world: &World) -> Result<(), Error> {
    let unlocks = world.agent.unlocks("pydict")?;
    let refused = world.agent.counter("refused_key_wrong")?;
    let wrong = run(world.host.rsfaas().arg("keygen"))?;
    let answer = Request::call("pydict", NIGHT)
        .key(wrong.trim())
        .send(&world.host)?;
    expect(&answer, 403, "key-wrong")?;
    check!(
        world.agent.unlocks("pydict")? == unlocks,
        "a wrong key unlocked"
    );
    check!(
        world.agent.counter("refused_key_wrong")? == refused + 1,
        "it was not counted"
    );
    Ok(())
}

fn a_malformed_key_is_told_from_a_wrong_one(world: &World) -> Result<(), Error> {
    let answer = Request::call("pydict", NIGHT)
        .key("rsfaas1notakey")
        .send(&world.host)?;
    expect(&answer, 401, "key-malformed")
}

fn each_key_opens_only_its_own_function(world: &World) -> Result<(), Error> {
    let (pydict, echo) = thread::scope(|scope| {
        let pydict = scope.spawn(|| keyed(world, "pydict", NIGHT));
        let echo = scope.spawn(|| keyed(world, "echo-headers", "hello"));
        (pydict.join(), echo.join())
    });
    expect(&joined(pydict)?, 200, "noche")?;
    expect(&joined(echo)?, 200, "Host")?;
    let key = world.author.key("echo-headers")?;
    let crossed = Request::call("pydict", NIGHT).key(&key).send(&world.host)?;
    expect(&crossed, 403, "key-wrong")?;
    world.agent.wait_until_locked("pydict")?;
    world.agent.wait_until_locked("echo-headers")
}

fn fifty_clients_share_one_unlock(world: &World) -> Result<(), Error> {
    let key = world.author.key("pydict")?;
    let unlocks = world.agent.unlocks("pydict")?;
    // Every connection is open before the first request goes out, and stays until the last answer
    // has come, so that no close falls in between.
    let mut connections = Vec::new();
    for _ in 0..50 {
        connections.push(Connection::open(&world.host)?);
    }
    let request = Request::call("pydict", NIGHT).key(&key).bytes();
    for connection in &mut connections {
        connection.write(&request)?;
    }
    for connection in &mut connections {
        expect(&connection.answer()?, 200, "noche")?;
    }
    check!(
        world.agent.unlocks("pydict")? == unlocks + 1,
        "more than one unlock"
    );
    drop(connections);
    world.agent.wait_until_locked("pydict")
}

fn keyless_callers_get_423_all_the_while(world: &World) -> Result<(), Error> {
    let stop = AtomicBool::new(false);
    let calls = thread::scope(|scope| {
        let keyless = scope.spawn(|| {
            let mut calls = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let answer = Request::call("pydict", NIGHT).send(&world.host)?;
                expect(&answer, 423, "pydict")?;
                check!(
                    !answer.body.contains("noche"),
                    "the secret result reached a keyless caller"
                );
                calls += 1;
            }
            Ok::<_, Error>(calls)
        });
        let mut keyed_calls = Ok(());
        for _ in 0..3 {
            keyed_calls = keyed_calls.and_then(|()| {
                expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
                world.agent.wait_until_locked("pydict")
            });
        }
        stop.store(true, Ordering::Relaxed);
        keyed_calls.and(joined(keyless.join()))
    })?;
    check!(calls > 0, "the keyless caller never came to its turn");
    Ok(())
}

fn joined<T>(result: thread::Result<Result<T, Error>>) -> Result<T, Error> {
    result.map_err(|_| Error("a client broke off".into()))?
}

fn the_function_never_sees_the_key(world: &World) -> Result<(), Error> {
    let key = world.author.key("echo-headers")?;
    let answer = Request::call("echo-headers", "hello")
        .header("X-Before", "kept")
        .key(&key)
        .header("X-After", "kept")
        .send(&world.host)?;
    expect(&answer, 200, "X-Before")?;
    expect(&answer, 200, "X-After")?;
    let lower = answer.body.to_ascii_lowercase();
    check!(
        !lower.contains("rsfaas1"),
        "the function saw the key: {}",
        answer.body
    );
    check!(
        !lower.contains("x-rsfaas-key"),
        "the function saw the key's header: {}",
        answer.body
    );
    world.agent.wait_until_locked("echo-headers")
}

fn a_function_of_packages_a_data_file_and_a_slow_import_works(world: &World) -> Result<(), Error> {
    expect(&keyed(world, "packages", "")?, 200, "\"total\":7")?;
    world.agent.wait_until_locked("packages")
}

fn a_head_that_comes_in_pieces_is_held_until_it_is_whole(world: &World) -> Result<(), Error> {
    let key = world.author.key("pydict")?;
    let request = Request::call("pydict", NIGHT).key(&key).bytes();
    for cut in [
        1,
        10,
        24,
        40,
        60,
        request.len() - NIGHT.len() - 2,
        request.len() - 3,
    ] {
        let mut connection = Connection::open(&world.host)?;
        connection.write(&request[..cut])?;
        thread::sleep(std::time::Duration::from_millis(30));
        connection.write(&request[cut..])?;
        let answer = connection.answer()?;
        expect(&answer, 200, "noche").map_err(|error| Error(format!("cut at {cut}: {error}")))?;
    }
    world.agent.wait_until_locked("pydict")
}

fn each_request_on_a_kept_connection_is_judged_by_itself(world: &World) -> Result<(), Error> {
    let mut connection = Connection::open(&world.host)?;
    let keyless = Request::call("pydict", NIGHT).bytes();
    let keyed = Request::call("pydict", NIGHT)
        .key(&world.author.key("pydict")?)
        .bytes();
    for round in 0..2 {
        for (request, status, part) in [(&keyless, 423, "pydict"), (&keyed, 200, "noche")] {
            connection.write(request)?;
            expect(&connection.answer()?, status, part)
                .map_err(|error| Error(format!("round {round}: {error}")))?;
        }
    }
    drop(connection);
    world.agent.wait_until_locked("pydict")
}

fn two_keyed_requests_on_one_connection_share_the_lease(world: &World) -> Result<(), Error> {
    let unlocks = world.agent.unlocks("pydict")?;
    let request = Request::call("pydict", NIGHT)
        .key(&world.author.key("pydict")?)
        .bytes();
    let mut connection = Connection::open(&world.host)?;
    for _ in 0..5 {
        connection.write(&request)?;
        expect(&connection.answer()?, 200, "noche")?;
    }
    drop(connection);
    check!(
        world.agent.unlocks("pydict")? == unlocks + 1,
        "more than one unlock"
    );
    world.agent.wait_until_locked("pydict")
}

fn callers_behind_a_reverse_proxy_are_told_apart_and_the_lease_ends_when_they_are_gone(
    world: &World,
) -> Result<(), Error> {
    world.agent.restart_with("idle_limit = 1")?;
    world.agent.wait_until_parked()?;
    let proxy = Proxy::start(&world.host)?;
    let keyless = Request::call("pydict", NIGHT);
    let keyed = Request::call("pydict", NIGHT).key(&world.author.key("pydict")?);
    for _ in 0..3 {
        expect(&keyed.send_to(proxy.address())?, 200, "noche")?;
        expect(&keyless.send_to(proxy.address())?, 423, "pydict")?;
    }
    // The proxy keeps its connection to the gateway open, so that no close ends the lease.
    world.agent.wait_until_locked("pydict")?;
    check!(
        world.agent.counter("leases_idle")? > 0,
        "the lease did not end because nobody used it"
    );
    expect(&keyed.send_to(proxy.address())?, 200, "noche")?;
    drop(proxy);
    world.agent.stop()?;
    world.agent.restart()?;
    world.agent.wait_until_parked()
}

fn a_client_on_another_host_is_served(world: &World) -> Result<(), Error> {
    let client = ClientHost::new()?;
    let (status, body) = client.call(world.host.port, "pydict", None, NIGHT)?;
    check!(status == 423, "without the key: {status} {body}");
    let key = world.author.key("pydict")?;
    let (status, body) = client.call(world.host.port, "pydict", Some(&key), NIGHT)?;
    check!(
        status == 200 && body.contains("noche"),
        "with the key: {status} {body}"
    );
    world.agent.wait_until_locked("pydict")
}

fn a_client_over_ipv6_is_served(world: &World) -> Result<(), Error> {
    let mut connection = Connection::open_at(("::1", world.host.port))?;
    connection.write(
        &Request::call("pydict", NIGHT)
            .key(&world.author.key("pydict")?)
            .bytes(),
    )?;
    expect(&connection.answer()?, 200, "noche")?;
    drop(connection);
    world.agent.wait_until_locked("pydict")
}

fn clients_are_served_while_addresses_of_the_host_change(world: &World) -> Result<(), Error> {
    // A new address makes routes stale that sockets have at hand.
    let mut connection = Connection::open(&world.host)?;
    let _other = ClientHost::new()?;
    connection.write(
        &Request::call("pydict", NIGHT)
            .key(&world.author.key("pydict")?)
            .bytes(),
    )?;
    expect(&connection.answer()?, 200, "noche")?;
    let came = world.agent.counter("released")?;
    let sent = world.agent.counter("frames_released")?;
    check!(
        came == sent,
        "{sent} frames were released and {came} came in"
    );
    drop(connection);
    world.agent.wait_until_locked("pydict")
}

fn a_large_body_arrives_whole(world: &World) -> Result<(), Error> {
    let padding = "x".repeat(1_000_000);
    let body = format!(r#"{{"padding": "{padding}", "word": "night"}}"#);
    expect(&keyed(world, "pydict", &body)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

fn an_unlocked_container_cannot_be_called_by_its_name(world: &World) -> Result<(), Error> {
    let mut holder = Connection::open(&world.host)?;
    holder.write(
        &Request::call("pydict", NIGHT)
            .key(&world.author.key("pydict")?)
            .bytes(),
    )?;
    expect(&holder.answer()?, 200, "noche")?;
    let function = world.agent.function("pydict")?;
    let Some(name) = function["unlocked"].as_str() else {
        return fail("the name of the unlocked container is not told");
    };
    let answer = Request::call(name, NIGHT).send(&world.host)?;
    check!(answer.status != 200, "it answered: {}", answer.body);
    check!(
        !answer.body.contains("noche"),
        "the secret result reached a keyless caller"
    );
    drop(holder);
    world.agent.wait_until_locked("pydict")
}

fn an_asynchronous_call_with_a_key_is_refused(world: &World) -> Result<(), Error> {
    let key = world.author.key("pydict")?;
    let answer = Request::to("/async-function/pydict", NIGHT)
        .key(&key)
        .send(&world.host)?;
    expect(&answer, 501, "async-unsupported")
}

fn no_plaintext_is_in_any_layer_or_file_of_the_parked_container(
    world: &World,
) -> Result<(), Error> {
    let record = fs::read_to_string(world.agent.state_dir().join("functions/pydict.json"))?;
    let record: serde_json::Value = serde_json::from_str(&record)?;
    for image in ["base_image", "locked_image"] {
        let Some(image) = record[image].as_str() else {
            return fail(format!("no {image} in the record"));
        };
        let file = tempfile::NamedTempFile::new()?;
        run(std::process::Command::new("docker")
            .args(["save", "-o"])
            .arg(file.path())
            .arg(image))?;
        let bytes = fs::read(file.path())?;
        check!(bytes.len() > 1000, "{image} was not saved");
        check!(
            !bytes.windows(CANARY.len()).any(|window| window == CANARY),
            "{image} contains a sentence of the handler"
        );
    }
    Ok(())
}

fn sealing_again_changes_nothing(world: &World) -> Result<(), Error> {
    let before = fs::read(world.author.sealed("pydict"))?;
    let output = world
        .author
        .seal_command(&world.host, &world.agent, "pydict")
        .output()?;
    check!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    check!(said.contains("already sealed"), "it says: {said}");
    check!(
        before == fs::read(world.author.sealed("pydict"))?,
        "the sealed handler has changed"
    );
    Ok(())
}

fn an_interrupted_seal_can_be_finished(world: &World) -> Result<(), Error> {
    // Interrupted after the ciphertext was complete, and before the last plaintext was removed.
    let folder = world.author.path("pydict");
    let opened = tempfile::tempdir()?;
    run(world
        .host
        .rsfaas()
        .arg("open")
        .arg(world.author.sealed("pydict"))
        .arg("--key-file")
        .arg(world.author.key_file("pydict"))
        .arg("-o")
        .arg(opened.path().join("handler")))?;
    let handler = opened.path().join("handler/handler.py");
    fs::copy(&handler, folder.join("handler.py"))?;
    let mut command = world
        .author
        .seal_command(&world.host, &world.agent, "pydict");
    run(&mut command)?;
    check!(
        !folder.join("handler.py").exists(),
        "the plaintext is still there"
    );
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

fn the_sealed_handler_can_be_inspected_without_and_opened_with_the_key(
    world: &World,
) -> Result<(), Error> {
    let sealed = world.author.sealed("pydict");
    let text = run(world
        .host
        .rsfaas()
        .arg("inspect")
        .arg(&sealed)
        .arg("--json"))?;
    let header: serde_json::Value = serde_json::from_str(&text)?;
    check!(header["function"] == "pydict", "inspect says {header}");
    let folder = tempfile::tempdir()?;
    let target = folder.path().join("handler");
    let mut open = world.host.rsfaas();
    open.arg("open")
        .arg(&sealed)
        .arg("--key-file")
        .arg(world.author.key_file("pydict"));
    run(open.arg("-o").arg(&target))?;
    check!(
        fs::read_to_string(target.join("handler.py"))?.contains("noche"),
        "not the handler"
    );
    let other = world.author.key_file("packages");
    let refused = world
        .host
        .rsfaas()
        .arg("open")
        .arg(&sealed)
        .arg("--key-file")
        .arg(other)
        .arg("-o")
        .arg(folder.path().join("wrong"))
        .output()?;
    check!(!refused.status.success(), "a wrong key opened it");
    check!(
        !folder.path().join("wrong").exists(),
        "a failed open left something behind"
    );
    Ok(())
}

fn a_function_rebuilt_by_image_is_answered_and_its_image_purged(
    world: &World,
) -> Result<(), Error> {
    seal_for(world, "packages", "image")?;
    let mut holder = Connection::open(&world.host)?;
    let request = Request::call("packages", "").key(&world.author.key("packages")?);
    holder.write(&request.bytes())?;
    expect(&holder.answer()?, 200, "\"total\":7")?;
    check!(
        lease_images()?.len() == 1,
        "not one image while it is unlocked: {:?}",
        lease_images()?
    );
    let keyless = Request::call("packages", "").send(&world.host)?;
    expect(&keyless, 423, "packages")?;
    drop(holder);
    world.agent.wait_until_ciphertext("packages")?;
    let left = lease_images()?;
    check!(left.is_empty(), "left in the engine: {left:?}");
    let error = world.agent.function("packages")?["last_error"].clone();
    check!(error.is_null(), "the close went wrong: {error}");
    seal_for(world, "packages", "mount")?;
    world.agent.wait_until_locked("packages")
}

fn images_that_a_killed_agent_left_are_purged_by_its_successor(world: &World) -> Result<(), Error> {
    seal_for(world, "packages", "image")?;
    let mut holder = Connection::open(&world.host)?;
    let request = Request::call("packages", "").key(&world.author.key("packages")?);
    holder.write(&request.bytes())?;
    expect(&holder.answer()?, 200, "\"total\":7")?;
    world.agent.kill()?;
    drop(holder);
    check!(!lease_images()?.is_empty(), "nothing was left to be purged");
    world.agent.restart()?;
    eventually("the image to be purged", || Ok(lease_images()?.is_empty()))?;
    seal_for(world, "packages", "mount")?;
    world.agent.wait_until_parked()
}

/// Seals a sealed function again for another way of rebuilding it, and waits until the agent has it.
fn seal_for(world: &World, function: &str, rebuild: &str) -> Result<(), Error> {
    let mut command = world
        .author
        .seal_command(&world.host, &world.agent, function);
    run(command.args(["--rebuild", rebuild]))?;
    eventually("the agent to take the change up", || {
        Ok(world
            .agent
            .function(function)
            .is_ok_and(|function| function["rebuild"] == rebuild))
    })
}

/// Names of the images with a handler in them.
fn lease_images() -> Result<Vec<String>, Error> {
    let text = run(std::process::Command::new("docker").args([
        "image",
        "ls",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ]))?;
    Ok(text
        .lines()
        .filter(|image| image.contains(":rsfaas-lease-"))
        .map(str::to_owned)
        .collect())
}

fn a_stopped_agent_leaves_nothing_unlocked(world: &World) -> Result<(), Error> {
    let before = fs::read(world.author.sealed("pydict"))?;
    let mut holder = Connection::open(&world.host)?;
    holder.write(
        &Request::call("pydict", NIGHT)
            .key(&world.author.key("pydict")?)
            .bytes(),
    )?;
    expect(&holder.answer()?, 200, "noche")?;
    world.agent.stop()?;
    check!(
        before != fs::read(world.author.sealed("pydict"))?,
        "it was not encrypted afresh"
    );
    check!(
        unlocked_functions(world)?.is_empty(),
        "containers are left behind"
    );
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

fn a_killed_agent_leaves_a_locked_function_and_its_successor_sweeps(
    world: &World,
) -> Result<(), Error> {
    world.agent.kill()?;
    let answer = keyed(world, "pydict", NIGHT)?;
    expect(&answer, 423, "pydict")?;
    check!(
        !unlocked_functions(world)?.is_empty(),
        "nothing was left to be swept"
    );
    world.agent.restart()?;
    world.agent.wait_until_parked()?;
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

fn unlocked_functions(world: &World) -> Result<Vec<String>, Error> {
    let text = run(std::process::Command::new("faas-cli")
        .args(["list", "--quiet"])
        .env(
            "OPENFAAS_URL",
            format!("http://127.0.0.1:{}", world.host.port),
        ))?;
    let suffix = fs::read_to_string(world.agent.state_dir().join("suffix"))?;
    Ok(text
        .split_whitespace()
        .filter(|name| name.contains(suffix.trim()))
        .map(str::to_owned)
        .collect())
}

fn unsealing_gives_the_plain_function_back(world: &World) -> Result<(), Error> {
    world.author.unseal(&world.host, &world.agent, "pydict")?;
    check!(
        !world.author.sealed("pydict").exists(),
        "the sealed handler is still there"
    );
    check!(
        world.author.path("pydict").join("handler.py").exists(),
        "the handler is not there"
    );
    eventually("the plain function to answer", || {
        let answer = Request::call("pydict", NIGHT).send(&world.host)?;
        Ok(answer.status == 200 && answer.body.contains("noche"))
    })?;
    world.author.seal(&world.host, &world.agent, "pydict")?;
    world.agent.wait_until_locked("pydict")?;
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}
