//! `rsfaas lock`.
use std::fs;

use super::cases;
use crate::{
    check::{During as _, Outcome, check},
    client::Client,
    containers::Routed,
    functions::{self, Function},
    http::Request,
    world::{World, expect_status, is_rewritten, unlocked_name},
};

/// `rsfaas lock` where not everything could be cleaned up.
const NOT_LOCKED: i32 = 14;

cases![
    a_lock_ends_the_lease_of_who_holds_it_and_the_next_request_has_another,
    a_lock_of_everything_ends_the_lease_of_whoever_holds_one_and_the_next_requests_have_others,
    a_lock_that_cannot_encrypt_the_handler_afresh_fails_and_says_so,
];

/// A connection over which a function is called again and again with its key.
struct Holder<'a> {
    world: &'a World,
    function: &'a Function,
    client: Client,
    /// The container that serves it.
    container: String,
}

impl<'a> Holder<'a> {
    fn new(world: &'a World, function: &'a Function) -> Outcome<Self> {
        let mut holder = Self {
            world,
            function,
            client: Client::open(world.route()?)?,
            container: String::new(),
        };
        holder.container = holder.call()?;
        // So often that the programs know the head, and let it go on to that container by themselves.
        for _ in 0..10 {
            let container = holder.call()?;
            check!(container == holder.container, "served by {container}, too");
        }
        Ok(holder)
    }

    /// Calls once more; the name of the container that has answered.
    fn call(&mut self) -> Outcome<String> {
        let request = Request::keyed(self.function);
        self.client.write(&request.bytes())?;
        expect_status(200, &self.client.answer()?)?;
        let seen = self.world.gateway.seen(self.client.address()?)?;
        let seen = &seen[seen.len() - 1];
        is_rewritten(self.function, &request, seen)?;
        let name = unlocked_name(self.function, &seen.path);
        Ok(name.unwrap_or_default().to_owned())
    }

    /// Its lease has ended, though it is there still.
    fn has_lost_its_lease(&self) -> Outcome {
        let phase = self.world.agent.phase(self.function.name)?;
        check!(phase == "locked", "{phase}");
        let routed = self.world.containers.route(&self.container);
        check!(routed == Routed::Gone, "{} is {routed:?}", self.container);
        Ok(())
    }

    /// Its next request is served all the same, by a container of another lease.
    fn is_served_anew(&mut self) -> Outcome {
        let container = self.call()?;
        check!(container != self.container, "served by {container} again");
        let phase = self.world.agent.phase(self.function.name)?;
        check!(phase == "unlocked", "{phase}");
        Ok(())
    }
}

fn a_lock_ends_the_lease_of_who_holds_it_and_the_next_request_has_another(
    world: &World,
) -> Outcome {
    let mut holder = Holder::new(world, world.a()?)?;
    let mut other = Holder::new(world, world.function(functions::B)?)?;
    let locked = world.agent.lock(functions::A)?;
    check!(locked.status.success(), "{locked:?}");
    holder.has_lost_its_lease()?;
    holder.is_served_anew()?;
    // A lease of another function's is none of its.
    let container = other.call()?;
    check!(container == other.container, "the other one is gone, too");
    Ok(())
}

fn a_lock_of_everything_ends_the_lease_of_whoever_holds_one_and_the_next_requests_have_others(
    world: &World,
) -> Outcome {
    let mut holders = Vec::new();
    for name in [functions::A, functions::B] {
        holders.push(Holder::new(world, world.function(name)?)?);
    }
    world.agent.lock_all()?;
    for holder in &holders {
        holder.has_lost_its_lease().during(holder.function.name)?;
    }
    for holder in &mut holders {
        let name = holder.function.name;
        holder.is_served_anew().during(name)?;
    }
    Ok(())
}

fn a_lock_that_cannot_encrypt_the_handler_afresh_fails_and_says_so(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"lock");
    world.serves(world.route()?, &request)?;
    let (sealed, away) = (
        world.sealed(functions::A),
        world.sealed(functions::A).with_extension("away"),
    );
    fs::rename(&sealed, &away)?;
    let locked = world.agent.lock(functions::A);
    fs::rename(&away, &sealed)?;
    let locked = locked?;
    let told = String::from_utf8_lossy(&locked.stderr).into_owned();
    check!(
        locked.status.code() == Some(NOT_LOCKED) && told.contains(functions::A),
        "{}: {told}",
        locked.status
    );
    world.serves(world.route()?, &request)?;
    let locked = world.agent.lock(functions::A)?;
    check!(locked.status.success(), "{locked:?}");
    Ok(())
}
