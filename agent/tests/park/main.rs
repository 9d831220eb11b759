//! Park, deliver, ready and wipe against real processes in namespaces of their own, without a container
//! runtime. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that fails is a test that fails"
)]

mod container;
mod ends;
mod failures;
mod others;
mod places;
mod python;
mod templates;
mod workers;

use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const USER: u32 = 4321;
