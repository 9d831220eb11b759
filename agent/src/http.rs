//! One plain HTTP/1.1 request on a connection of its own: what the gateway and the registry are asked.
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode, body::Bytes, client::conn::http1, header,
    header::HeaderName,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// For hangs only.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest body that is read, 16 MiB.
const BODY: usize = 16 << 20;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("it cannot be connected to: {0}")]
    Connect(#[from] std::io::Error),
    #[error("it broke off: {0}")]
    Http(#[from] hyper::Error),
    #[error("it cannot be asked: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("its answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("it takes longer than {} s", TIMEOUT.as_secs())]
    Timeout,
}

/// Asks `HOST:PORT` (port 80 where none is given).
pub(crate) async fn ask(
    host: &str,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
) -> Result<Answer, HttpError> {
    tokio::time::timeout(TIMEOUT, exchange(host, method, path, headers))
        .await
        .map_err(|_| HttpError::Timeout)?
}

async fn exchange(
    host: &str,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
) -> Result<Answer, HttpError> {
    let stream = if host.contains(':') {
        TcpStream::connect(host).await?
    } else {
        TcpStream::connect((host, 80)).await?
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, host);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, BODY).collect().await;
    connection.abort();
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.map_err(HttpError::Body)?.to_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::answering;

    #[tokio::test]
    async fn an_answer_that_is_cut_off_is_an_error() {
        let host = answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
        assert!(ask(&host.to_string(), Method::GET, "/", &[]).await.is_err());
        let host = answering("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole");
        let answer = ask(&host.to_string(), Method::GET, "/", &[]).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body[..]),
            (StatusCode::OK, &b"whole"[..])
        );
    }
}
