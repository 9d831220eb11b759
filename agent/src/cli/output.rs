//! Secrets to standard output.
use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use super::exit::Failure;

/// Writes secret bytes to standard output. Not through std's handle, whose buffer would keep a copy
/// for the process's life.
pub(super) fn secret(bytes: &[&[u8]]) -> Result<(), Failure> {
    let write = || {
        let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        bytes.iter().try_for_each(|part| output.write_all(part))
    };
    write().map_err(|error| Failure::io("standard output", &error))
}

/// Writes a text that is no secret to standard output.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    written.map_err(|error| Failure::io("standard output", &error))
}
