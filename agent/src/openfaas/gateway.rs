//! The gateway's API, as far as faas-cli does not show it: labels of what is deployed.
use http_body_util::{BodyExt as _, Collected, Empty, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use tokio::net::TcpStream;

use super::{FaasError, login};

/// For hangs only.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest listing that is read, 16 MiB.
const LISTING: usize = 16 << 20;

/// The gateway's API.
pub struct Gateway {
    address: String,
    host: String,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Gateway {
    /// The gateway at an address of the form `http://HOST:PORT`.
    ///
    /// # Errors
    /// When the address is of another form.
    pub fn new(address: &str) -> Result<Self, FaasError> {
        let host = address
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'))
            .filter(|host| !host.is_empty() && !host.contains('/'))
            .ok_or_else(|| FaasError::Address(address.to_owned()))?;
        let host = if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        Ok(Self {
            address: address.to_owned(),
            host,
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
        let listing = self.listing();
        let bytes = tokio::time::timeout(TIMEOUT, listing)
            .await
            .map_err(|_| self.unreachable(&"it takes too long"))??;
        let functions: Vec<Listed> =
            serde_json::from_slice(&bytes).map_err(|error| self.unreachable(&error))?;
        Ok(functions
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

    async fn listing(&self) -> Result<Bytes, FaasError> {
        let unreachable = |error: &dyn std::fmt::Display| self.unreachable(error);
        let stream = TcpStream::connect(&self.host)
            .await
            .map_err(|error| unreachable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(&error))?;
        let connection = tokio::spawn(connection);
        let mut request = Request::get("/system/functions").header(header::HOST, &self.host);
        if let Some(authorization) = login::authorization(&self.address)? {
            request = request.header(header::AUTHORIZATION, authorization.as_str());
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| unreachable(&error))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| unreachable(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LISTING).collect().await;
        connection.abort();
        match status {
            200 => body
                .map(Collected::to_bytes)
                .map_err(|error| unreachable(&error)),
            401 | 403 => Err(FaasError::Unauthorized(self.address.clone())),
            status => Err(FaasError::Status {
                gateway: self.address.clone(),
                status,
            }),
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
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    async fn answering(answer: &'static str) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        Gateway::new(&address).unwrap()
    }

    #[tokio::test]
    async fn only_functions_with_the_label_are_named() {
        let gateway = answering(concat!(
            "HTTP/1.1 200 OK\r\nContent-Length: 88\r\n\r\n",
            r#"[{"name":"a","labels":{"r":"u"}},{"name":"b","labels":{"r":"l"}},{"name":"c","labels":null}]"#,
        ))
        .await;
        // The listing above is cut off by its length on purpose: that is an error, not a short list.
        assert!(gateway.functions_with_label("r", "u").await.is_err());
        let gateway = answering(concat!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            r#"[{"name":"a","labels":{"r":"u"}},{"name":"b","labels":{"r":"l"}},{"name":"c","labels":null}]"#,
        ))
        .await;
        assert_eq!(gateway.functions_with_label("r", "u").await.unwrap(), ["a"]);
    }

    #[tokio::test]
    async fn a_wrong_login_is_told_with_what_to_do() {
        let gateway = answering("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
        let error = gateway
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
            assert!(Gateway::new(address).is_err(), "{address}");
        }
    }
}
