//! How a test fails, and how it waits.
use std::{
    fmt,
    process::Command,
    time::{Duration, Instant},
};

/// For hangs only: nothing is said about speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a test says when something does not hold.
#[derive(Debug)]
pub(crate) struct Error(pub(crate) String);

pub(crate) type Outcome<T = ()> = Result<T, Error>;

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
pub(crate) trait During<T> {
    fn during(self, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> During<T> for Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Error(format!("{what}: {error}")))
    }
}

/// Fails the test with a text.
pub(crate) fn fail<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Error(what.into()))
}

/// Fails the test unless a condition holds.
macro_rules! check {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return $crate::check::fail(format!($($text)+));
        }
    };
}
pub(crate) use check;

/// Runs a command to its end; its standard output, or what it said when it failed.
pub(crate) fn run(command: &mut Command) -> Outcome<String> {
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

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> Outcome<bool>) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        check!(Instant::now() < deadline, "in vain waited for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
