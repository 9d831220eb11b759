//! Calls with and without the key, and what is left after them.
use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use super::{NIGHT, expect, hold_pydict, keyed};
use crate::{
    World,
    host::{Error, check, eventually, joined},
    http::{Connection, Request},
};

/// An unlock takes milliseconds: in so many, a call is sent during one.
const CYCLES: u32 = 60;

pub(super) fn a_call_without_a_key_is_told_what_to_do(world: &World) -> Result<(), Error> {
    let answer = Request::call("pydict", NIGHT).send(&world.host)?;
    expect(&answer, 423, "X-RsFaaS-Key")?;
    expect(&answer, 423, "pydict")
}

pub(super) fn a_call_with_the_key_is_answered_by_the_function(world: &World) -> Result<(), Error> {
    let answer = keyed(world, "pydict", NIGHT)?;
    expect(&answer, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

/// Gateways differ in what they make of these paths; what leads to the locked function leads to the unlocked one.
pub(super) fn a_call_is_answered_however_the_gateway_lets_the_path_be_spelled(
    world: &World,
) -> Result<(), Error> {
    let key = world.author.key("pydict")?;
    let mut served = 0;
    for path in [
        "/function/py%64ict",
        "/function/pydict/%61",
        "/%66unction/pydict/",
        "http://gateway.example/function/pydict?q=1",
    ] {
        let keyless = Request::to(path, NIGHT).send(&world.host)?;
        let keyed = Request::to(path, NIGHT).key(&key).send(&world.host)?;
        if keyless.status == 423 {
            expect(&keyed, 200, "noche")?;
            served += 1;
        } else {
            expect(&keyed, keyless.status, "")?;
        }
    }
    check!(
        served > 0,
        "the gateway leads none of these to the function"
    );
    // The gateway asks for the clean path.
    let answer = Request::to("/function//pydict", NIGHT)
        .key(&key)
        .send(&world.host)?;
    check!(
        answer.status == 301 && answer.head.contains("/function/pydict\r\n"),
        "{answer:?}"
    );
    world.agent.wait_until_locked("pydict")
}

pub(super) fn the_handler_is_ciphertext_again_with_other_bytes_after_the_close(
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

pub(super) fn fifty_clients_share_one_unlock(world: &World) -> Result<(), Error> {
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

pub(super) fn keyless_callers_get_423_all_the_while(world: &World) -> Result<(), Error> {
    let (calls, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let missed = Mutex::new(BTreeSet::from([
        "locked",
        "unlocking",
        "unlocked",
        "locking",
    ]));
    let is_missed = || !lock(&missed).is_empty();
    let call = || {
        let function = world.agent.function("pydict")?;
        let answer = Request::call("pydict", NIGHT).send(&world.host)?;
        expect(&answer, 423, "pydict")?;
        check!(
            !answer.body.contains("noche"),
            "the secret result reached a keyless caller"
        );
        calls.fetch_add(1, Ordering::Relaxed);
        lock(&missed).retain(|phase| function["phase"] != **phase);
        Ok::<_, Error>(())
    };
    thread::scope(|scope| {
        let keyless = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                call()?;
            }
            Ok(())
        });
        let cycle = || {
            let holder = hold_pydict(world)?;
            let before = calls.load(Ordering::Relaxed);
            eventually("keyless calls while it is unlocked", || {
                Ok(keyless.is_finished() || calls.load(Ordering::Relaxed) > before + 1)
            })?;
            drop(holder);
            world.agent.wait_until_locked("pydict")
        };
        let mut cycles =
            (0..CYCLES).take_while(|count| !keyless.is_finished() && (*count < 3 || is_missed()));
        let cycled = cycles.try_for_each(|_| cycle());
        stop.store(true, Ordering::Relaxed);
        joined(keyless.join()).and(cycled)
    })?;
    let missed = lock(&missed);
    check!(
        missed.is_empty(),
        "no keyless call was sent while it was {missed:?}"
    );
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn the_function_never_sees_the_key(world: &World) -> Result<(), Error> {
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

pub(super) fn a_function_of_packages_a_data_file_and_a_slow_import_works(
    world: &World,
) -> Result<(), Error> {
    expect(&keyed(world, "packages", "")?, 200, "\"total\":7")?;
    world.agent.wait_until_locked("packages")
}
