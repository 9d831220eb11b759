//! A browser's question whether a page from elsewhere may call the function with headers of its own, the key
//! among them (<https://fetch.spec.whatwg.org/#http-cors-protocol>). The handler, which would answer it,
//! is ciphertext, and the question comes without the key. It is granted: only a page that has the key can
//! call, and whether it may read the answer is the handler's own to say.

/// Which method and which headers the page wants to call with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Preflight {
    method: Option<String>,
    headers: String,
}

impl Preflight {
    /// Takes in one of the request's headers. What cannot be said again in an answer is left out.
    pub(crate) fn note(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("access-control-request-method") && is_list(value) {
            self.method = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("access-control-request-headers") && is_list(value) {
            value.clone_into(&mut self.headers);
        }
    }

    /// The header fields of the answer; `None` where nothing was asked.
    pub(crate) fn grant(&self) -> Option<String> {
        let method = self.method.as_ref()?;
        Some(format!(
            "Access-Control-Allow-Methods: {method}\r\nAccess-Control-Allow-Headers: {}\r\n\
             Access-Control-Max-Age: 600\r\n",
            self.headers
        ))
    }
}

/// Whether a value consists of tokens (RFC 9110, section 5.6.2), commas and spaces.
fn is_list(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(fields: &[(&str, &str)]) -> Option<String> {
        let mut preflight = Preflight::default();
        for (name, value) in fields {
            preflight.note(name, value);
        }
        preflight.grant()
    }

    #[test]
    fn what_a_page_asks_for_is_granted() {
        let fields = [
            ("access-control-request-method", "POST"),
            (
                "Access-Control-Request-Headers",
                "content-type, x-rsfaas-key",
            ),
        ];
        let text = granted(&fields).unwrap();
        assert!(text.contains("Allow-Methods: POST\r\n"), "{text}");
        assert!(
            text.contains("Allow-Headers: content-type, x-rsfaas-key\r\n"),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_granted_that_was_not_asked_for() {
        assert_eq!(granted(&[("Origin", "http://a")]), None);
    }

    #[test]
    fn nothing_is_said_again_that_could_break_out_of_its_line() {
        assert_eq!(
            granted(&[("Access-Control-Request-Method", "A\nSet-Cookie: b")]),
            None
        );
    }
}
