//! Functions that are rebuilt by image.
use super::{NIGHT, expect, hold_pydict, seal_with};
use crate::{
    World,
    host::{Error, check, eventually, run},
    http::Request,
};

pub(super) fn a_function_rebuilt_by_image_is_answered_and_its_image_purged(
    world: &World,
) -> Result<(), Error> {
    seal_with(world, "pydict", "rebuild", "image")?;
    let holder = hold_pydict(world)?;
    check!(
        lease_images()?.len() == 1,
        "not one image while it is unlocked: {:?}",
        lease_images()?
    );
    let keyless = Request::call("pydict", NIGHT).send(&world.host)?;
    expect(&keyless, 423, "pydict")?;
    drop(holder);
    world.agent.wait_until_ciphertext("pydict")?;
    let left = lease_images()?;
    check!(left.is_empty(), "left in the engine: {left:?}");
    let error = world.agent.function("pydict")?["last_error"].clone();
    check!(error.is_null(), "the close went wrong: {error}");
    seal_with(world, "pydict", "rebuild", "mount")?;
    world.agent.wait_until_locked("pydict")
}

pub(super) fn images_that_a_killed_agent_left_are_purged_by_its_successor(
    world: &World,
) -> Result<(), Error> {
    seal_with(world, "pydict", "rebuild", "image")?;
    let holder = hold_pydict(world)?;
    world.agent.kill()?;
    drop(holder);
    check!(!lease_images()?.is_empty(), "nothing was left to be purged");
    world.agent.restart()?;
    eventually("the image to be purged", || Ok(lease_images()?.is_empty()))?;
    seal_with(world, "pydict", "rebuild", "mount")?;
    world.agent.wait_until_parked()
}

/// Names of the images with a handler in them.
pub(super) fn lease_images() -> Result<Vec<String>, Error> {
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
