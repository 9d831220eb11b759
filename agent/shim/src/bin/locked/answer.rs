//! Builds the answers' bytes.
use std::fmt::Write as _;

use rsfaas_shim::Refusal;

use crate::head::Head;

/// Whom the locked function stands for.
pub(crate) struct Locked {
    /// The function's name.
    pub(crate) function: String,
    /// The key header's name.
    pub(crate) header: String,
}

impl Locked {
    /// The answer to a request; `close` says that the connection ends with it.
    pub(crate) fn answer(&self, head: &Head, close: bool) -> Vec<u8> {
        let (status, mut fields, body) = if head.probe {
            (
                "200 OK".to_owned(),
                "Content-Type: text/plain\r\n".to_owned(),
                "OK\n".to_owned(),
            )
        } else if let Some(fields) = head.preflight.grant() {
            ("200 OK".to_owned(), fields, String::new())
        } else {
            self.refuse(head)
        };
        // A page may read why it was refused.
        fields.push_str("Access-Control-Allow-Origin: *\r\n");
        if close {
            fields.push_str("Connection: close\r\n");
        }
        let mut text = format!(
            "HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n",
            body.len()
        );
        if !head.bodiless_answer {
            text.push_str(&body);
        }
        text.into_bytes()
    }

    fn refuse(&self, head: &Head) -> (String, String, String) {
        let refusal = head.refusal;
        let message = if head.has_key && refusal == Refusal::Locked {
            Refusal::not_taken(&self.function, &self.header)
        } else {
            refusal.message(&self.function, &self.header)
        };
        let mut fields =
            String::from("Content-Type: application/json\r\nCache-Control: no-store\r\n");
        if let Some(seconds) = refusal.retry_after() {
            fields.push_str(&format!("Retry-After: {seconds}\r\n"));
        }
        if refusal.status() == 401 {
            // RFC 9110, section 15.5.2: a 401 names a scheme.
            fields.push_str("WWW-Authenticate: RsFaaS-Key\r\n");
        }
        let body = format!(
            "{{\"error\":{},\"function\":{},\"message\":{}}}\n",
            json(refusal.reason()),
            json(&self.function),
            json(&message),
        );
        (
            format!("{} {}", refusal.status(), refusal.phrase()),
            fields,
            body,
        )
    }
}

/// The answer to a request that cannot be read.
pub(crate) fn unreadable(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

/// A JSON string.
fn json(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Parsed, parse};

    fn answer(request: &str, close: bool) -> String {
        let locked = Locked {
            function: "pydict".into(),
            header: "X-RsFaaS-Key".into(),
        };
        let Parsed::Complete(head) = parse(request.as_bytes(), &locked.header) else {
            panic!("{request}")
        };
        String::from_utf8(locked.answer(&head, close)).unwrap()
    }

    #[test]
    fn a_locked_function_says_so_in_json() {
        let body = "{\"error\":\"locked\",\"function\":\"pydict\",\"message\":\"pydict is sealed, and no \
                    key came with the request; send its key in the header X-RsFaaS-Key\"}\n";
        assert_eq!(
            answer("GET / HTTP/1.1\r\n\r\n", false),
            format!(
                "HTTP/1.1 423 Locked\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
                 Access-Control-Allow-Origin: *\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        );
    }

    #[test]
    fn a_key_that_no_agent_took_is_told_of_and_not_repeated() {
        let text = answer(
            "GET / HTTP/1.1\r\nX-RsFaaS-Key: rsfaas1secret\r\n\r\n",
            false,
        );
        assert!(text.starts_with("HTTP/1.1 423 Locked\r\n"), "{text}");
        assert!(text.contains("\"error\":\"locked\""), "{text}");
        assert!(text.contains("is rsfaas-agent running there?"), "{text}");
        assert!(
            !text.contains("secret") && !text.contains("no key came"),
            "{text}"
        );
        let refused = answer(
            "GET / HTTP/1.1\r\nX-RsFaaS-Key: a\r\nX-RsFaaS: w\r\n\r\n",
            false,
        );
        assert!(refused.contains("\"error\":\"key-wrong\""), "{refused}");
    }

    #[test]
    fn waiting_time_and_close_are_announced() {
        let text = answer("GET / HTTP/1.1\r\nX-RsFaaS: t\r\n\r\n", true);
        assert!(
            text.starts_with("HTTP/1.1 429 Too Many Requests\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\nRetry-After: 60\r\n"), "{text}");
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
    }

    #[test]
    fn an_answer_to_head_has_the_length_but_no_body() {
        let text = answer("HEAD / HTTP/1.1\r\n\r\n", false);
        assert!(text.contains("\r\nContent-Length: 1"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn a_page_that_asks_first_may_call() {
        let text = answer(
            "OPTIONS / HTTP/1.1\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n",
            false,
        );
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(
            text.contains("\r\nAccess-Control-Allow-Origin: *\r\n"),
            "{text}"
        );
    }

    #[test]
    fn probes_are_well() {
        assert!(answer("GET /_/health HTTP/1.1\r\n\r\n", false).starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[test]
    fn names_cannot_break_out_of_the_json() {
        assert_eq!(json("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    }
}
