//! Logins to registries, as `docker login` leaves them for the user who runs this: in `config.json`, or with the
//! credential helpers that it names.
use std::{
    collections::{BTreeSet, HashMap},
    env, fs, io,
    path::PathBuf,
};

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde::{Deserialize, de::IgnoredAny};
use zeroize::Zeroizing;

use super::Reference;
use crate::not_found::ignore_not_found;

/// What Docker Hub's login is kept under.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// What helpers say of registries that they have no login for.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// Why a login cannot be used. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    /// The file cannot be read.
    #[error("cannot read the docker logins in {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is none of docker's.
    #[error("{path} is not what `docker login` writes; line {line} is not understood")]
    Config {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
    },
    /// A registry's login cannot be used.
    #[error("the docker login for {server} cannot be used: {why}")]
    Login {
        /// The registry.
        server: String,
        /// What stands in the way, and what to do.
        why: &'static str,
    },
}

/// The logins that go with a build, whose bases may be anywhere.
#[derive(Default)]
pub(super) struct Logins {
    pub(super) usable: HashMap<String, DockerCredentials>,
    pub(super) unusable: Vec<LoginError>,
}

/// The login for an image's registry; none where there is none.
pub(super) async fn of(image: &Reference) -> Result<Option<DockerCredentials>, LoginError> {
    let server = server(image);
    let login = move || Config::read(folder())?.map_or(Ok(None), |config| config.login(&server));
    blocking(login).await
}

/// Every login.
pub(super) async fn all() -> Logins {
    let logins = || match Config::read(folder()) {
        Ok(config) => config.map_or_else(Logins::default, |config| config.logins()),
        Err(error) => Logins {
            unusable: vec![error],
            ..Logins::default()
        },
    };
    blocking(logins).await
}

/// What was said of a failure, with the logins that could not be used: one of them may be the reason.
pub(super) fn explain(said: String, unusable: &[LoginError]) -> String {
    let lines = unusable.iter().map(|error| format!("\n{error}"));
    lines.fold(said, |said, line| said + &line)
}

/// Helpers are programs that are waited for.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It is never cancelled.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn server(image: &Reference) -> String {
    match image.registry() {
        None | Some(("docker.io" | "index.docker.io", _)) => DOCKER_HUB.to_owned(),
        Some((host, _)) => host.to_owned(),
    }
}

/// Where docker keeps what is a user's own.
fn folder() -> Option<PathBuf> {
    let named = env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty());
    let own = || Some(env::home_dir()?.join(".docker"));
    named.map(PathBuf::from).or_else(own)
}

/// The file, which may have passwords in it.
struct Config {
    path: PathBuf,
    text: Zeroizing<Vec<u8>>,
}

/// The registries in it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Servers {
    #[serde(default)]
    auths: HashMap<String, IgnoredAny>,
    #[serde(default)]
    cred_helpers: HashMap<String, IgnoredAny>,
}

impl Config {
    fn read(folder: Option<PathBuf>) -> Result<Option<Self>, LoginError> {
        let Some(path) = folder.map(|folder| folder.join("config.json")) else {
            return Ok(None);
        };
        match ignore_not_found(fs::read(&path)) {
            Ok(Some(text)) => Ok(Some(Self {
                path,
                text: Zeroizing::new(text),
            })),
            Ok(None) => Ok(None),
            Err(source) => Err(LoginError::Read { path, source }),
        }
    }

    fn logins(&self) -> Logins {
        let mut logins = Logins::default();
        let servers = self.servers().unwrap_or_else(|error| {
            logins.unusable.push(error);
            BTreeSet::new()
        });
        for server in servers {
            match self.login(&server) {
                Ok(login) => logins.usable.extend(login.map(|login| (server, login))),
                Err(error) => logins.unusable.push(error),
            }
        }
        logins
    }

    fn servers(&self) -> Result<BTreeSet<String>, LoginError> {
        // What the parser says may quote the file.
        let servers: Servers =
            serde_json::from_slice(&self.text).map_err(|error| LoginError::Config {
                path: self.path.clone(),
                line: error.line(),
            })?;
        let helped = servers.cred_helpers.into_keys();
        Ok(servers.auths.into_keys().chain(helped).collect())
    }

    fn login(&self, server: &str) -> Result<Option<DockerCredentials>, LoginError> {
        let unusable = |why| LoginError::Login {
            server: server.to_owned(),
            why,
        };
        let found = docker_credential::get_credential_from_reader(&self.text[..], server);
        let mut login = DockerCredentials {
            serveraddress: Some(server.to_owned()),
            ..DockerCredentials::default()
        };
        match found {
            Ok(DockerCredential::UsernamePassword(name, password)) => {
                login.username = Some(name);
                login.password = Some(password);
            }
            Ok(DockerCredential::IdentityToken(token)) => login.identitytoken = Some(token),
            Err(CredentialRetrievalError::NoCredentialConfigured) => return Ok(None),
            Err(CredentialRetrievalError::HelperFailure { stdout, .. })
                if stdout.trim() == NOT_FOUND =>
            {
                return Ok(None);
            }
            Err(error) => return Err(unusable(why(&error))),
        }
        let texts = [&login.username, &login.password, &login.identitytoken];
        if texts.into_iter().flatten().all(|text| is_sendable(text)) {
            Ok(Some(login))
        } else {
            Err(unusable(
                "a `>`, `?`, `~` or a character beyond ASCII in user name or password cannot be sent to the engine; \
                 log in with a token",
            ))
        }
    }
}

/// Whether a text's Base64 is the same in both alphabets: Docker Engine reads that for URLs, bollard writes the other.
fn is_sendable(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii() && byte & 0x3f < 0x3e)
}

/// What is wrong, without anything that a helper has said.
fn why(error: &CredentialRetrievalError) -> &'static str {
    match error {
        CredentialRetrievalError::HelperCommunicationError => {
            "its credential helper cannot be run; install the helper that docker's config.json names, on the PATH of \
             this command"
        }
        CredentialRetrievalError::HelperFailure { .. }
        | CredentialRetrievalError::MalformedHelperResponse => {
            "its credential helper failed; run `docker login` again, as the user who runs this"
        }
        _ => {
            "docker's config.json is not understood; run `docker login` again, as the user who runs this"
        }
    }
}

#[cfg(test)]
mod tests;
