//! The agent's configuration: a TOML file, every key of which has a default.
mod error;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, Deserializer},
};

pub use self::error::{ConfigError, Mistake, Mistakes};
use crate::{
    head::KeyHeaders,
    rebuild::UnlockedNames,
    spot::{self, Attach},
    state::StateDir,
};

/// Longest time that may be set, in seconds: a year. No clock that it is added to gets near its end.
const LONGEST: u64 = 365 * 24 * 60 * 60;

/// Longest time that an answer may be waited for, in milliseconds: whoever uploads text waits as long.
const LONGEST_FOR_AN_ANSWER: u64 = 60_000;

/// Names that unlocked containers of one function may have: a number of two digits at their end, with which the longest
/// function's name is as long as a DNS label may be.
const MOST_CONTAINERS: usize = 100;

/// What an operator may set; `deploy/agent.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The gateway's TCP port, where requests are spotted.
    pub port: u16,
    /// Name of the header that carries the key.
    pub key_header: String,
    /// Name of the header that carries the next key; the key header's with `Next-` before its last word
    /// unless set.
    pub next_key_header: Option<String>,
    /// The gateway's address for deployments; `http://127.0.0.1:PORT` unless set.
    pub gateway: Option<String>,
    /// File with the gateway's user and password as `user:password`; the login of faas-cli unless set.
    pub credentials: Option<PathBuf>,
    /// The faas-cli program.
    pub faas_cli: PathBuf,
    /// The agent's state folder.
    pub state_dir: PathBuf,
    /// The agent's control socket.
    pub control_socket: PathBuf,
    /// Parked containers kept ready for each function; 0 makes each unlock wait for a deployment.
    pub standby: usize,
    /// Containers that may serve at a time of a function each of whose connections has its own.
    pub isolated: usize,
    /// Program that removes what a purged image (`rebuild` by image) leaves in registry and provider; the
    /// image's name is in its environment as `RSFAAS_IMAGE`.
    pub purge_command: Option<PathBuf>,
    /// Seconds after which a lease ends, whoever still holds it.
    pub lease_limit: u64,
    /// Seconds without a packet after which a connection holds no lease any more.
    pub idle_limit: u64,
    /// Seconds for which a lease that nobody holds any more is kept.
    pub linger: u64,
    /// Seconds that an unlock may take before its callers are told that it failed: fewer than the gateway's
    /// `read_timeout` (60 unless set), at which it closes a connection that brings no request.
    pub unlock_timeout: u64,
    /// Seconds without more of it after which an incomplete request head is judged by the lines that are there.
    pub head_timeout: u64,
    /// Milliseconds for which something that is a request sent ahead, or text of a body, waits for the gateway's answer to
    /// what came before; then it is taken for text.
    pub answer_timeout_ms: u64,
    /// Wrong keys a minute and function after which further wrong ones are refused as too many.
    pub wrong_keys: usize,
    /// Where the spotter is attached.
    pub attach: Attach,
    /// Where the spotter is attached at single interfaces, by name.
    pub attach_interfaces: BTreeMap<String, Attach>,
    /// Log format.
    pub log: LogFormat,
}

/// How the agent writes its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 8080,
            key_header: "X-RsFaaS-Key".into(),
            next_key_header: None,
            gateway: None,
            credentials: None,
            faas_cli: "faas-cli".into(),
            state_dir: StateDir::DEFAULT.into(),
            control_socket: "/run/rsfaas/agent.sock".into(),
            standby: 1,
            isolated: 8,
            purge_command: None,
            lease_limit: 3600,
            idle_limit: 300,
            linger: 0,
            unlock_timeout: 50,
            head_timeout: 2,
            answer_timeout_ms: 250,
            wrong_keys: 10,
            attach: Attach::Auto,
            attach_interfaces: BTreeMap::new(),
            log: LogFormat::Text,
        }
    }
}

impl Config {
    /// Where the configuration is looked for unless told otherwise.
    pub const DEFAULT_PATH: &'static str = "/etc/rsfaas/agent.toml";

    /// Reads a configuration file. Without a path, the default one where it exists, else the defaults.
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let (path, required) = match path {
            Some(path) => (path, true),
            None => (Path::new(Self::DEFAULT_PATH), false),
        };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {
                Ok(Self::default())
            }
            Err(source) => Err(ConfigError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let (config, mut mistakes) = Self::of_keys(text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        mistakes.extend(config.wrong_values().map(Mistake::Value));
        if mistakes.is_empty() {
            Ok(config)
        } else {
            let path = path.to_owned();
            let mistakes = Mistakes(mistakes);
            Err(ConfigError::Mistakes { path, mistakes })
        }
    }

    /// Takes one key after the other, so that a mistake in one does not hide those in others: the configuration of those
    /// without one, and the mistakes.
    fn of_keys(text: &str) -> Result<(Self, Vec<Mistake>), toml::de::Error> {
        let keys = DeTable::parse(text)?;
        let span = keys.span();
        let with = |keys: DeTable<'_>| {
            Self::deserialize(Deserializer::from(Spanned::new(span.clone(), keys)))
        };
        let mut good = DeTable::new();
        let mut mistakes = Vec::new();
        let mut keys: Vec<_> = keys.into_inner().into_iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in keys {
            match with(DeTable::from_iter([(key.clone(), value.clone())])) {
                Ok(_) => {
                    good.insert(key, value);
                }
                Err(error) => {
                    let line = 1 + text[..key.span().start].matches('\n').count();
                    mistakes.push(Mistake::key(line, key.get_ref(), &error));
                }
            }
        }
        Ok((with(good)?, mistakes))
    }

    /// Tells of every value that cannot be used.
    fn wrong_values(&self) -> impl Iterator<Item = &'static str> {
        let next_key_header = self.next_key_header();
        let headers = [&self.key_header, &next_key_header];
        let times = [
            self.lease_limit,
            self.idle_limit,
            self.unlock_timeout,
            self.head_timeout,
        ];
        let mut all_times = times.into_iter().chain([self.linger]);
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = |text: &&String| !text.is_empty() && text.bytes().all(is_token);
        let are_names = headers.iter().all(is_name);
        let serving = self.standby.saturating_add(self.isolated);
        let wrong = [
            (self.port == 0, "`port` must not be 0"),
            (times.contains(&0), "times must be at least 1 second"),
            (
                all_times.any(|time| time > LONGEST),
                "times must be at most 31536000 seconds, which is a year",
            ),
            (
                !(1..=LONGEST_FOR_AN_ANSWER).contains(&self.answer_timeout_ms),
                "`answer_timeout_ms` must be at least 1 and at most 60000, which is a minute",
            ),
            (self.wrong_keys == 0, "`wrong_keys` must be at least 1"),
            (
                !are_names,
                "`key_header` and `next_key_header` must be letters, digits, `-` and `_`",
            ),
            (
                headers[0].eq_ignore_ascii_case(headers[1]),
                "`key_header` and `next_key_header` must not be the same",
            ),
            (
                are_names && spot::check_headers(headers[0], headers[1]).is_err(),
                "`key_header` and `next_key_header` are too long, one of them or both together; choose shorter names",
            ),
            (
                self.isolated == 0,
                "`isolated` must be at least 1, or no call could ever be served",
            ),
            (
                serving > MOST_CONTAINERS - UnlockedNames::slots(0, 0),
                "`standby` and `isolated` must be at most 98 together: a function has names for 100 containers, two of \
                 which may be on their way out",
            ),
        ];
        wrong
            .into_iter()
            .filter_map(|(is_wrong, what)| is_wrong.then_some(what))
    }

    /// The gateway's address for deployments.
    #[must_use]
    pub fn gateway(&self) -> String {
        self.gateway
            .clone()
            .unwrap_or_else(|| format!("http://127.0.0.1:{}", self.port))
    }

    /// Name of the header that carries the next key.
    #[must_use]
    pub fn next_key_header(&self) -> String {
        self.next_key_header
            .clone()
            .unwrap_or_else(|| KeyHeaders::usual_next(&self.key_header))
    }

    /// Where the spotter is to be attached at an interface.
    #[must_use]
    pub fn attach_at(&self, interface: &str) -> Attach {
        self.attach_interfaces
            .get(interface)
            .copied()
            .unwrap_or(self.attach)
    }

    /// How long a lease may last.
    #[must_use]
    pub fn lease_limit(&self) -> Duration {
        Duration::from_secs(self.lease_limit)
    }

    /// How long a connection may be idle and hold a lease.
    #[must_use]
    pub fn idle_limit(&self) -> Duration {
        Duration::from_secs(self.idle_limit)
    }

    /// How long a lease outlasts its last connection.
    #[must_use]
    pub fn linger(&self) -> Duration {
        Duration::from_secs(self.linger)
    }

    /// How long an unlock may take.
    #[must_use]
    pub fn unlock_timeout(&self) -> Duration {
        Duration::from_secs(self.unlock_timeout)
    }

    /// How long an incomplete head is held.
    #[must_use]
    pub fn head_timeout(&self) -> Duration {
        Duration::from_secs(self.head_timeout)
    }

    /// How long what may be a request sent ahead waits for the answer to what came before.
    #[must_use]
    pub fn answer_timeout(&self) -> Duration {
        Duration::from_millis(self.answer_timeout_ms)
    }
}

#[cfg(test)]
mod tests;
