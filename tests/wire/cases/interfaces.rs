//! Interfaces that come and go.
use std::fmt::Write as _;

use nix::sys::signal::Signal;

use super::cases;
use crate::{
    check::{Outcome, check, eventually},
    world::World,
};

/// Changes of interfaces that are more than a socket's buffer holds.
const BURST: usize = 2_000;

cases![
    interfaces_that_change_too_quickly_to_be_told_are_followed_all_the_same,
    an_interface_that_is_down_keeps_its_programs,
];

/// The last changes of a burst are those that the kernel has no room for.
fn interfaces_that_change_too_quickly_to_be_told_are_followed_all_the_same(
    world: &World,
) -> Outcome {
    let host = &world.scene.host;
    for name in ["burst", "gone"] {
        host.ip(&format!("link add {name} type bridge"))?;
        host.ip(&format!("link set {name} up"))?;
        world.agent.wait_until_covered(name)?;
    }
    let mut batch = tempfile::NamedTempFile::new()?;
    let mut commands = String::new();
    for number in 0..BURST {
        writeln!(commands, "link set burst mtu {}", 1400 + number % 2)?;
    }
    commands += "link add late type bridge\nlink set late up\nlink del gone\n";
    std::io::Write::write_all(&mut batch, commands.as_bytes())?;
    world.agent.signal(Signal::SIGSTOP)?;
    let changed = host.run(&format!("ip -batch {}", batch.path().display()));
    world.agent.signal(Signal::SIGCONT)?;
    let followed = changed.and_then(|_| {
        world.agent.wait_until_covered("late")?;
        eventually("the other to be let go", || {
            Ok(!world.agent.covers("gone")?)
        })
    });
    for name in ["burst", "late"] {
        host.ip(&format!("link del {name}"))?;
    }
    followed
}

/// Connections outlive it, and their segments come at once when it is up again.
fn an_interface_that_is_down_keeps_its_programs(world: &World) -> Outcome {
    let host = &world.scene.host;
    for command in ["link add pause type bridge", "link set pause up"] {
        host.ip(command)?;
    }
    world.agent.wait_until_covered("pause")?;
    for command in ["link set pause down", "link add behind type bridge"] {
        host.ip(command)?;
    }
    // Changes are told in their order.
    host.ip("link set behind up")?;
    world.agent.wait_until_covered("behind")?;
    let covered = world.agent.covers("pause")?;
    for name in ["pause", "behind"] {
        host.ip(&format!("link del {name}"))?;
    }
    check!(covered, "its programs are gone");
    Ok(())
}
