//! Requests to send, and answers as they come.
use crate::{check::Outcome, functions::Function};

/// The name of the header that carries the key.
pub(crate) const KEY_HEADER: &str = "X-RsFaaS-Key";

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// Reads an answer at the start of some bytes, and its length; `None` where there is more to come. An
/// interim answer (100 Continue) is one of its own.
pub(crate) fn answer(bytes: &[u8]) -> Outcome<Option<(Answer, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut headers);
    let head = match parsed.parse(bytes)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let status = parsed.code.unwrap_or_default();
    let value = |name: &str| {
        parsed
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let answer = |body: &[u8]| Answer {
        status,
        head: text,
        body: body.to_vec(),
    };
    if value("transfer-encoding").is_some() {
        let end = bytes[head..]
            .windows(5)
            .position(|window| window == b"0\r\n\r\n");
        return Ok(end.map(|end| {
            let body = &bytes[head..head + end];
            (answer(body), head + end + 5)
        }));
    }
    let length: usize = value("content-length").map_or(Ok(0), |length| length.parse())?;
    let body = bytes.get(head..head + length);
    Ok(body.map(|body| (answer(body), head + length)))
}

/// A request in the making.
#[derive(Clone)]
pub(crate) struct Request {
    line: String,
    headers: Vec<String>,
    body: Vec<u8>,
    /// The body without its framing.
    content: Vec<u8>,
}

impl Request {
    /// A call of a function, without the key.
    pub(crate) fn to(function: &Function) -> Self {
        Self::line(&format!("POST /function/{} HTTP/1.1", function.name)).header("Host: gateway")
    }

    /// A call of a function, with its key.
    pub(crate) fn keyed(function: &Function) -> Self {
        Self::to(function).header(&format!("{KEY_HEADER}: {}", function.key))
    }

    /// Any request line.
    pub(crate) fn line(line: &str) -> Self {
        Self {
            line: line.into(),
            headers: Vec::new(),
            body: Vec::new(),
            content: Vec::new(),
        }
    }

    /// With a header line.
    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers.push(line.into());
        self
    }

    /// With a header that makes the head so long, or a little longer.
    pub(crate) fn padded(self, length: usize) -> Self {
        let missing = length.saturating_sub(self.bytes().len() + "X-Fill: \r\n".len());
        self.header(&format!("X-Fill: {}", "f".repeat(missing)))
    }

    /// With a body and its length.
    pub(crate) fn body(self, body: &[u8]) -> Self {
        let mut request = self.header(&format!("Content-Length: {}", body.len()));
        request.body = body.to_vec();
        request.content = body.to_vec();
        request
    }

    /// With a body in chunks.
    pub(crate) fn chunks<'a>(self, chunks: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut request = self.header("Transfer-Encoding: chunked");
        for chunk in chunks {
            request
                .body
                .extend(format!("{:x}\r\n", chunk.len()).bytes());
            request.body.extend_from_slice(chunk);
            request.body.extend_from_slice(b"\r\n");
            request.content.extend_from_slice(chunk);
        }
        request.body.extend_from_slice(b"0\r\n\r\n");
        request
    }

    /// What goes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The body, as the gateway reads it.
    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    /// The request line, without its end.
    pub(crate) fn line_text(&self) -> &str {
        &self.line
    }

    /// The head alone.
    pub(crate) fn head(&self) -> Vec<u8> {
        let headers: String = self
            .headers
            .iter()
            .map(|line| format!("{line}\r\n"))
            .collect();
        format!("{}\r\n{headers}\r\n", self.line).into_bytes()
    }

    /// The header lines that carry no key.
    pub(crate) fn plain_headers(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(String::as_str).filter(|line| {
            !line
                .to_ascii_lowercase()
                .starts_with(&KEY_HEADER.to_ascii_lowercase())
        })
    }
}
