//! A keyed request's head, however it is cut, however long it is, wherever in it the key stands.
use super::cases;
use crate::{
    check::{During as _, Outcome},
    http::{KEY_HEADER, Request},
    world::World,
};

cases![
    a_head_cut_after_any_byte_is_served,
    a_head_in_segments_of_one_byte_is_served,
    a_head_of_any_length_is_served,
    a_long_head_cut_in_the_key_is_served,
    the_key_may_stand_first_or_last,
    the_key_headers_name_may_have_any_letter_case,
    white_space_around_the_key_does_not_matter,
];

fn a_head_cut_after_any_byte_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).header("Accept: */*");
    let bytes = request.bytes();
    for cut in 1..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        world
            .is_served(world.route()?, function, &request, [first, second])
            .during(format!("cut after {cut} of {} bytes", bytes.len()))?;
    }
    Ok(())
}

fn a_head_in_segments_of_one_byte_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function);
    let bytes = request.bytes();
    world.is_served(world.route()?, function, &request, bytes.chunks(1))
}

/// Beyond 4 KiB the kernel no longer searches for the key: the agent has to.
fn a_head_of_any_length_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    for length in [100, 1 << 10, 4 << 10, 8 << 10, 12 << 10] {
        let before = Request::to(function).padded(length);
        let key = format!("{KEY_HEADER}: {}", function.key);
        for request in [before.header(&key), Request::keyed(function).padded(length)] {
            world
                .serves(world.route()?, &request)
                .during(format!("a head of {} bytes", request.head().len()))?;
        }
    }
    Ok(())
}

fn a_long_head_cut_in_the_key_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let key = format!("{KEY_HEADER}: {}", function.key);
    let request = Request::to(function).padded(8 << 10).header(&key);
    let bytes = request.bytes();
    let (first, second) = bytes.split_at(bytes.len() - 40);
    world.is_served(world.route()?, function, &request, [first, second])
}

fn the_key_may_stand_first_or_last(world: &World) -> Outcome {
    let function = world.a()?;
    let key = format!("{KEY_HEADER}: {}", function.key);
    let line = format!("GET /function/{}/path?query=1 HTTP/1.1", function.name);
    let first = Request::line(&line).header(&key).header("Host: gateway");
    let last = Request::line(&line).header("Host: gateway").header(&key);
    let only = Request::line(&line).header(&key);
    for request in [first, last, only] {
        world.serves(world.route()?, &request)?;
    }
    Ok(())
}

fn the_key_headers_name_may_have_any_letter_case(world: &World) -> Outcome {
    let function = world.a()?;
    for name in [KEY_HEADER, "x-rsfaas-key", "X-RSFAAS-KEY", "x-RsFaAs-kEy"] {
        let request = Request::to(function).header(&format!("{name}: {}", function.key));
        world.serves(world.route()?, &request).during(name)?;
    }
    Ok(())
}

fn white_space_around_the_key_does_not_matter(world: &World) -> Outcome {
    let function = world.a()?;
    let key = &function.key;
    for value in [
        key.clone(),
        format!(" \t {key}"),
        format!("{key} \t"),
        format!("{:>60}{key}", ""),
    ] {
        let request = Request::to(function).header(&format!("{KEY_HEADER}:{value}"));
        world
            .serves(world.route()?, &request)
            .during(format!("{} bytes", value.len()))?;
    }
    Ok(())
}
