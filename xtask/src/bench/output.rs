//! What a benchmark says in the end. As JSON it stands alone on standard output: what the steps before it say
//! goes to standard error then.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use nix::unistd::dup2_stdout;
use serde_json::Value;

use crate::error::{At as _, Error};

/// Where it is said, and how.
pub(super) struct Output {
    stdout: File,
    json: bool,
}

impl Output {
    /// Before the first step.
    pub(super) fn new(json: bool) -> Result<Self, Error> {
        // Not for the programs that are started: the testbed's would keep it open when this one has ended.
        let stdout = io::stdout().as_fd().try_clone_to_owned().at("stdout")?;
        if json {
            dup2_stdout(io::stderr())
                .map_err(io::Error::from)
                .at("stdout")?;
        }
        Ok(Self {
            stdout: stdout.into(),
            json,
        })
    }

    /// Says the result.
    pub(super) fn print(
        mut self,
        figures: &Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let text = if self.json {
            format!("{figures}\n")
        } else {
            text()
        };
        self.stdout.write_all(text.as_bytes()).at("stdout")
    }
}
