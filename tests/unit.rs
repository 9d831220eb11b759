//! The unit with which the service manager starts the agent, as tests need it.
use crate::check::{Error, Outcome};

const TEXT: &str = include_str!("../deploy/rsfaas-agent.service");

/// What it sets something to.
///
/// # Errors
/// When it does not.
pub fn set(name: &str) -> Outcome<&'static str> {
    TEXT.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .ok_or_else(|| Error(format!("the unit has no {name}=")))
}

/// Names of the capabilities that it leaves the agent, as setpriv(1) has them.
///
/// # Errors
/// When it does not say.
pub fn capabilities() -> Outcome<Vec<String>> {
    let names = set("CapabilityBoundingSet")?.split_whitespace();
    Ok(names
        .map(|name| name.trim_start_matches("CAP_").to_ascii_lowercase())
        .collect())
}

/// `setpriv`, told as it tells the service manager; what is to be started follows.
///
/// # Errors
/// When it does not say.
pub fn setpriv() -> Outcome<Vec<String>> {
    let kept: String = capabilities()?
        .iter()
        .map(|name| format!(",+{name}"))
        .collect();
    let mut words = vec!["setpriv".to_owned(), format!("--bounding-set=-all{kept}")];
    if set("NoNewPrivileges")? == "yes" {
        words.push("--no-new-privs".to_owned());
    }
    Ok(words)
}
