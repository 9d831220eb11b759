//! The gateway's API, as far as faas-cli does not show it: images, labels and replicas of what is deployed.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::{Method, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::{FaasError, login};
use crate::http;

/// Pause between two questions whether a function is available.
const PAUSE: Duration = Duration::from_millis(20);

/// The gateway's API.
pub struct Gateway {
    address: String,
    host: String,
    credentials: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    available_replicas: u64,
}

impl Gateway {
    /// The gateway at an address of the form `http://HOST:PORT`, with faas-cli's login for it or that
    /// of a `user:password` file.
    ///
    /// # Errors
    /// When the address is of another form.
    pub fn new(address: &str, credentials: Option<&Path>) -> Result<Self, FaasError> {
        let host = address
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'))
            .filter(|host| !host.is_empty() && !host.contains('/'))
            .ok_or_else(|| FaasError::Address(address.to_owned()))?;
        Ok(Self {
            address: address.to_owned(),
            host: host.to_owned(),
            credentials: credentials.map(Path::to_owned),
        })
    }

    /// Names of the functions with a label.
    ///
    /// # Errors
    /// When the gateway cannot be asked.
    pub async fn functions_with_label(
        &self,
        label: &str,
        value: &str,
    ) -> Result<Vec<String>, FaasError> {
        Ok(self
            .functions()
            .await?
            .into_iter()
            .filter(|listed| {
                listed
                    .labels
                    .as_ref()
                    .and_then(|labels| labels.get(label))
                    .is_some_and(|is| is == value)
            })
            .map(|listed| listed.name)
            .collect())
    }

    /// The images that are deployed, by the functions' names.
    ///
    /// # Errors
    /// When the gateway cannot be asked.
    pub async fn images(&self) -> Result<BTreeMap<String, String>, FaasError> {
        let functions = self.functions().await?.into_iter();
        Ok(functions
            .map(|listed| (listed.name, listed.image))
            .collect())
    }

    /// Waits until a deployed function has an available replica, by its provider's word.
    ///
    /// # Errors
    /// When the gateway cannot be asked, or after `timeout`.
    pub async fn wait_available(&self, name: &str, timeout: Duration) -> Result<(), FaasError> {
        let start = Instant::now();
        let path = format!("/system/function/{name}");
        loop {
            let listed: Option<Listed> = self.get(&path).await?;
            if listed.is_some_and(|listed| listed.available_replicas > 0) {
                return Ok(());
            }
            if start.elapsed() >= timeout {
                return Err(FaasError::NotAvailable {
                    name: name.to_owned(),
                    waited: timeout,
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn functions(&self) -> Result<Vec<Listed>, FaasError> {
        self.get("/system/functions")
            .await?
            .ok_or_else(|| self.status(StatusCode::NOT_FOUND))
    }

    /// What the gateway has at a path; `None` where it has nothing.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, FaasError> {
        let authorization = login::authorization(&self.address, self.credentials.as_deref())?;
        let headers: Vec<_> = authorization
            .iter()
            .map(|text| (header::AUTHORIZATION, text.as_str()))
            .collect();
        let answer = http::ask(&self.host, Method::GET, path, &headers)
            .await
            .map_err(|error| self.unreachable(&error))?;
        match answer.status {
            StatusCode::OK => serde_json::from_slice(&answer.body)
                .map(Some)
                .map_err(|error| self.unreachable(&error)),
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(FaasError::Unauthorized(self.address.clone()))
            }
            status => Err(self.status(status)),
        }
    }

    fn status(&self, status: StatusCode) -> FaasError {
        FaasError::Status {
            gateway: self.address.clone(),
            status: status.as_u16(),
        }
    }

    fn unreachable(&self, what: &dyn std::fmt::Display) -> FaasError {
        FaasError::Unreachable {
            gateway: self.address.clone(),
            what: what.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::answering;

    async fn gateway(answer: &'static str) -> Gateway {
        let address = format!("http://{}", answering(answer));
        Gateway::new(&address, None).unwrap()
    }

    #[tokio::test]
    async fn only_functions_with_the_label_are_named() {
        let gateway = gateway(concat!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            r#"[{"name":"a","labels":{"r":"u"}},{"name":"b","labels":{"r":"l"}},{"name":"c","labels":null}]"#,
        ))
        .await;
        assert_eq!(gateway.functions_with_label("r", "u").await.unwrap(), ["a"]);
    }

    #[tokio::test]
    async fn a_deployed_function_is_known_with_its_image() {
        let gateway = gateway(concat!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            r#"[{"name":"a","image":"r/a:latest-1f","replicas":1},{"name":"b"}]"#,
        ))
        .await;
        let images = gateway.images().await.unwrap();
        assert_eq!((&*images["a"], &*images["b"]), ("r/a:latest-1f", ""));
    }

    #[tokio::test]
    async fn a_function_with_a_replica_is_available_and_one_without_is_waited_for() {
        let one =
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"name\":\"a\",\"availableReplicas\":1}";
        let wait = Duration::ZERO;
        gateway(one).await.wait_available("a", wait).await.unwrap();
        let none = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        let error = gateway(none)
            .await
            .wait_available("a", wait)
            .await
            .unwrap_err();
        assert!(matches!(error, FaasError::NotAvailable { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_wrong_login_is_told_with_what_to_do() {
        let error = gateway("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            .await
            .functions_with_label("r", "u")
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("faas-cli login"), "{error}");
    }

    #[test]
    fn an_address_without_http_is_refused() {
        for address in [
            "127.0.0.1:8080",
            "https://gateway",
            "http://",
            "http://g/path",
        ] {
            assert!(Gateway::new(address, None).is_err(), "{address}");
        }
    }
}
