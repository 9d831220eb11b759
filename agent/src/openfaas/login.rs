//! The login to the gateway: faas-cli's own, or one that the agent's configuration names.
mod temporary;

use std::{
    env,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub(super) use self::temporary::folder_for;
pub(crate) use self::temporary::remove_left_logins;
use super::FaasError;
use crate::not_found::ignore_not_found;

/// faas-cli's file of logins.
#[derive(Default, Serialize, Deserialize)]
struct File {
    #[serde(default)]
    auths: Vec<Entry>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Entry {
    gateway: String,
    auth: String,
    #[serde(default)]
    token: String,
}

/// Where faas-cli keeps its logins: `OPENFAAS_CONFIG`, else `~/.openfaas`.
fn default_folder() -> PathBuf {
    env::var_os("OPENFAAS_CONFIG").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".openfaas"),
        PathBuf::from,
    )
}

/// The `Authorization` header for a gateway, by a `user:password` file or faas-cli's login; `None` where
/// there is neither.
pub(super) fn authorization(
    gateway: &str,
    credentials: Option<&Path>,
) -> Result<Option<Zeroizing<String>>, FaasError> {
    if let Some(file) = credentials {
        let token = read_token(file)?;
        return Ok(Some(Zeroizing::new(format!("Basic {}", *token))));
    }
    let path = default_folder().join("config.yml");
    let text = match ignore_not_found(std::fs::read_to_string(&path)) {
        Ok(Some(text)) => Zeroizing::new(text),
        Ok(None) => return Ok(None),
        Err(source) => return Err(FaasError::LoginFile { path, source }),
    };
    let file: Option<File> = serde_norway::from_str(&text).map_err(|_| FaasError::Login {
        path,
        what: "it is not faas-cli's YAML".into(),
    })?;
    let entries = file.unwrap_or_default().auths;
    let entry = entries.iter().find(|entry| same(&entry.gateway, gateway));
    Ok(entry.map(|entry| {
        let scheme = if entry.auth == "basic" {
            "Basic"
        } else {
            "Bearer"
        };
        Zeroizing::new(format!("{scheme} {}", entry.token))
    }))
}

fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// What a `user:password` file says, in the form in which HTTP and faas-cli have it (RFC 7617, section 2).
fn read_token(credentials: &Path) -> Result<Zeroizing<String>, FaasError> {
    let path = || credentials.to_owned();
    let text = std::fs::read_to_string(credentials)
        .map(Zeroizing::new)
        .map_err(|source| FaasError::LoginFile {
            path: path(),
            source,
        })?;
    if text.contains(':') {
        Ok(Zeroizing::new(STANDARD.encode(text.trim())))
    } else {
        Err(FaasError::Login {
            path: path(),
            what: "it must be `user:password`".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_is_sent_as_rfc_7617_says() {
        let source = tempfile::NamedTempFile::new().unwrap();
        for (pair, token) in [
            ("admin:secret\n", "YWRtaW46c2VjcmV0"),
            ("admin:secret!", "YWRtaW46c2VjcmV0IQ=="),
        ] {
            std::fs::write(source.path(), pair).unwrap();
            let header = authorization("http://g", Some(source.path())).unwrap();
            assert_eq!(*header.unwrap(), format!("Basic {token}"));
        }
    }
}
