//! How a test fails, and how it waits.
use std::{
    fmt,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// What a test says when something does not hold.
#[derive(Debug)]
pub struct Error(pub String);

/// What a test, or a step of one, comes to.
pub type Outcome<T = ()> = Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Says what a step was when it fails.
pub trait During<T> {
    /// The same, with what was done in front of what was said.
    ///
    /// # Errors
    /// When the step failed.
    fn during(self, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> During<T> for Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Error(format!("{what}: {error}")))
    }
}

/// Fails the test with a text.
///
/// # Errors
/// Always.
pub fn fail<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Error(what.into()))
}

/// Fails the test unless a condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return $crate::check::fail(format!($($text)+));
        }
    };
}

/// Runs a command to its end; its standard output, or what it said when it failed.
///
/// # Errors
/// When it cannot be started, or fails.
pub fn run(command: &mut Command) -> Outcome<String> {
    let output = command
        .output()
        .during(command.get_program().to_string_lossy().into_owned())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    fail(format!(
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Waits until something holds, and looks so often; the time is for hangs only and says nothing about speed.
///
/// # Errors
/// When it does not, or cannot be looked at.
pub fn eventually(
    what: &str,
    (patience, pause): (Duration, Duration),
    mut holds: impl FnMut() -> Outcome<bool>,
) -> Outcome {
    let deadline = Instant::now() + patience;
    while !holds()? {
        check!(Instant::now() < deadline, "in vain waited for: {what}");
        thread::sleep(pause);
    }
    Ok(())
}
