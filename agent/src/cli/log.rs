//! What is logged, to standard error.
use std::env::VarError;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::LogFormat;

/// What is logged unless `RUST_LOG` says something else.
const USUAL: &str = "info";

/// The agent's log, in a format; `RUST_LOG` chooses what is in it.
pub(super) fn of_agent(format: LogFormat) {
    let chosen = chosen(std::env::var(EnvFilter::DEFAULT_ENV));
    let (filter, mistake) = match chosen {
        Ok(filter) => (filter, None),
        Err(mistake) => (EnvFilter::new(USUAL), Some(mistake)),
    };
    let log = fmt()
        .with_env_filter(filter)
        // A terminal that is gone would have the complaint about it end the agent in the middle of its work.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
    if let Some(mistake) = mistake {
        let variable = EnvFilter::DEFAULT_ENV;
        tracing::warn!(variable, %mistake, "what is to be logged is not understood; it is {USUAL:?}");
    }
}

/// What a variable says that is to be logged.
fn chosen(variable: Result<String, VarError>) -> Result<EnvFilter, String> {
    match variable {
        Err(VarError::NotPresent) => Ok(EnvFilter::new(USUAL)),
        Err(error) => Err(error.to_string()),
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| format!("{text:?}: {error}")),
    }
}

/// What would be a warning in the agent's log, told to whoever runs another subcommand.
pub(super) fn of_command() {
    fmt()
        .with_env_filter(EnvFilter::new("rsfaas=warn"))
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_understood_is_told_and_what_is_not_said_is_no_mistake() {
        let of = |text: &str| chosen(Ok(text.to_owned()));
        for text in ["", "debug", "warn,rsfaas::lease=trace"] {
            assert!(of(text).is_ok(), "{text}");
        }
        assert_eq!(
            chosen(Err(VarError::NotPresent)).unwrap().to_string(),
            USUAL
        );
        for text in ["rsfaas=loud", "rsfaas=debug=x"] {
            let mistake = of(text).unwrap_err();
            assert!(mistake.contains(text), "{mistake}");
        }
    }
}
