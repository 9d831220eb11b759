//! Wrong keys beyond the limit are told so by the locked function, and keep nobody out who has the right one.
use std::process::{Child, Command, Stdio};

use super::cases;
use crate::{
    check::{During as _, Outcome, check, eventually},
    client::Client,
    functions,
    http::{Answer, KEY_HEADER, Request},
    scene::Route,
    world::{World, expect_status},
};

cases![too_many_wrong_keys_are_told_when_to_come_again_and_the_right_one_is_served];

/// As in the configuration.
const LIMIT: usize = 3;
const PORT: u16 = 18_081;

/// The real locked function, gone when dropped.
struct Locked(Child);

impl Locked {
    /// Starts it on the gateway's host.
    fn start(world: &World) -> Outcome<Self> {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/artifacts/locked");
        let child = world.scene.host.enter(|| {
            Command::new(program)
                .arg(format!("127.0.0.1:{PORT}"))
                .env("RSFAAS_FUNCTION", functions::A)
                .stderr(Stdio::null())
                .spawn()
                .during(program)
        })?;
        let locked = Self(child);
        eventually("the locked function to listen", || {
            Ok(Client::open(Self::route(world)?).is_ok())
        })?;
        Ok(locked)
    }

    fn route(world: &World) -> Outcome<Route<'_>> {
        let Route { from, mut to } = world.scene.loopback("127.0.0.1")?;
        to.set_port(PORT);
        Ok(Route { from, to })
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a request to the gateway; what the locked function says to what the gateway has read.
fn locked_answer(world: &World, request: &Request) -> Outcome<Answer> {
    let mut client = Client::open(world.route()?)?;
    client.write(&request.bytes())?;
    expect_status(423, &client.answer()?)?;
    let head = world.gateway.only(client.address()?)?.head;
    let mut locked = Client::open(Locked::route(world)?)?;
    locked.write(&head)?;
    locked.answer()
}

fn too_many_wrong_keys_are_told_when_to_come_again_and_the_right_one_is_served(
    world: &World,
) -> Outcome {
    let _locked = Locked::start(world)?;
    world.with_setting(&format!("wrong_keys = {LIMIT}\n"), || {
        let (function, other) = (world.a()?, world.function(functions::B)?);
        let wrong = Request::to(function).header(&format!("{KEY_HEADER}: {}", other.key));
        let tells = |answer: &Answer| {
            answer
                .head
                .to_ascii_lowercase()
                .contains("\r\nretry-after: ")
        };
        for number in 1..=LIMIT {
            let answer = locked_answer(world, &wrong)?;
            expect_status(403, &answer).during(format!("wrong key {number}"))?;
            check!(!tells(&answer), "told to come again:\n{}", answer.head);
        }
        let right = Request::keyed(function).body(b"right");
        for _ in 0..2 {
            let answer = locked_answer(world, &wrong)?;
            expect_status(429, &answer)?;
            check!(tells(&answer), "not told when:\n{}", answer.head);
            world.serves(world.route()?, &right)?;
        }
        // Each function has a limit of its own.
        let others = Request::keyed(other).body(b"another");
        let bytes = others.bytes();
        world.is_served(world.route()?, other, &others, [bytes.as_slice()])
    })
}
