//! Why a request was refused, and what the locked function answers: the one table that the agent
//! (which names the reason) and the locked function (which explains it) share.

/// Why a request did not reach the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No key came with the request.
    Locked,
    /// The key's text is no key: wrong prefix, length or checksum.
    KeyMalformed,
    /// A well-formed key that is not this function's.
    KeyWrong,
    /// The next key's text is no key.
    NextKeyMalformed,
    /// Another caller has sent another next key, which the function gets when it is locked.
    NextKeyConflict,
    /// Too many wrong keys were sent for this function, by whomever.
    TooManyWrongKeys,
    /// The key was right, but the container could not be rebuilt.
    RebuildFailed,
    /// The key was right, but the container was not ready in time.
    RebuildTimeout,
    /// A key on the asynchronous path, where a queue would store it.
    AsyncUnsupported,
}

impl Refusal {
    /// Header in which the agent tells the locked function why. Short, as its value is: it takes the
    /// place of a key header, which may hold no more than a few wrong letters.
    pub const HEADER: &'static str = "X-RsFaaS";

    /// Every refusal.
    pub const ALL: [Self; 9] = [
        Self::Locked,
        Self::KeyMalformed,
        Self::KeyWrong,
        Self::NextKeyMalformed,
        Self::NextKeyConflict,
        Self::TooManyWrongKeys,
        Self::RebuildFailed,
        Self::RebuildTimeout,
        Self::AsyncUnsupported,
    ];

    /// The letter that stands in the header.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Locked => "l",
            Self::KeyMalformed => "m",
            Self::KeyWrong => "w",
            Self::NextKeyMalformed => "n",
            Self::NextKeyConflict => "c",
            Self::TooManyWrongKeys => "t",
            Self::RebuildFailed => "f",
            Self::RebuildTimeout => "o",
            Self::AsyncUnsupported => "a",
        }
    }

    /// The reason as it stands in counters and logs, and as `error` in the answer's body.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::KeyMalformed => "key-malformed",
            Self::KeyWrong => "key-wrong",
            Self::NextKeyMalformed => "next-key-malformed",
            Self::NextKeyConflict => "next-key-conflict",
            Self::TooManyWrongKeys => "too-many-wrong-keys",
            Self::RebuildFailed => "rebuild-failed",
            Self::RebuildTimeout => "rebuild-timeout",
            Self::AsyncUnsupported => "async-unsupported",
        }
    }

    /// The refusal that a header value stands for, outer blanks aside.
    #[must_use]
    pub fn from_code(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|refusal| refusal.code() == text.trim())
    }

    /// HTTP status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Locked => 423,
            Self::KeyMalformed | Self::NextKeyMalformed => 401,
            Self::KeyWrong => 403,
            Self::NextKeyConflict => 409,
            Self::TooManyWrongKeys => 429,
            Self::RebuildFailed => 503,
            Self::RebuildTimeout => 504,
            Self::AsyncUnsupported => 501,
        }
    }

    /// Reason phrase of the status line.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Locked => "Locked",
            Self::KeyMalformed | Self::NextKeyMalformed => "Unauthorized",
            Self::KeyWrong => "Forbidden",
            Self::NextKeyConflict => "Conflict",
            Self::TooManyWrongKeys => "Too Many Requests",
            Self::RebuildFailed => "Service Unavailable",
            Self::RebuildTimeout => "Gateway Timeout",
            Self::AsyncUnsupported => "Not Implemented",
        }
    }

    /// Seconds after which another try makes sense (`Retry-After`), where waiting helps at all.
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::TooManyWrongKeys => Some(60),
            Self::RebuildFailed => Some(5),
            Self::RebuildTimeout => Some(10),
            _ => None,
        }
    }

    /// What happened to a call of `function` and what to do; `header` is the key header's name.
    #[must_use]
    pub fn message(self, function: &str, header: &str) -> String {
        match self {
            Self::Locked => format!(
                "{function} is sealed, and no key came with the request; send its key in the header {header}"
            ),
            Self::KeyMalformed => format!(
                "the header {header} does not hold a key; send the text of the key file, rsfaas1 and what follows, unchanged"
            ),
            Self::KeyWrong => format!(
                "this key does not open {function}; check that it is the key with which the function was sealed"
            ),
            Self::NextKeyMalformed => format!(
                "the next key that came along is not a key, so {function} was not started and its key stays; send the text of one key file, rsfaas1 and what follows, unchanged"
            ),
            Self::NextKeyConflict => format!(
                "{function} is about to get another next key from another caller; until it is locked again it takes no other one"
            ),
            Self::TooManyWrongKeys => {
                format!(
                    "too many wrong keys were sent for {function}, and this is another; check it, and wait before you try again"
                )
            }
            Self::RebuildFailed => format!(
                "the key is right, but {function} could not be started; try again, and if it stays so, the host's agent log has the reason"
            ),
            Self::RebuildTimeout => {
                format!("the key is right, but {function} was not ready in time; try again shortly")
            }
            Self::AsyncUnsupported => format!(
                "a queue would store the key, so {function} cannot be called with one on /async-function/; call /function/{function}"
            ),
        }
    }

    /// What is said in place of the message of [`Self::Locked`] where a key came and no agent took it out.
    #[must_use]
    pub fn not_taken(function: &str, header: &str) -> String {
        format!(
            "{function} is sealed, and a key came with the request in the header {header}, but no agent on the gateway's host took it; is rsfaas-agent running there?"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_for_its_refusal_alone() {
        for refusal in Refusal::ALL {
            let text = format!(" {} ", refusal.code());
            assert_eq!(Refusal::from_code(&text), Some(refusal));
        }
    }

    #[test]
    fn an_unknown_code_stands_for_none() {
        assert_eq!(Refusal::from_code("key-wrong"), None);
        assert_eq!(Refusal::from_code(""), None);
    }

    #[test]
    fn waiting_is_advised_exactly_where_it_helps() {
        let waits = Refusal::ALL
            .into_iter()
            .filter(|refusal| refusal.retry_after().is_some());
        assert_eq!(
            waits.map(Refusal::status).collect::<Vec<_>>(),
            [429, 503, 504]
        );
    }

    #[test]
    fn the_locked_answer_names_function_and_header() {
        let text = Refusal::Locked.message("pydict", "X-Key");
        assert_eq!(
            text,
            "pydict is sealed, and no key came with the request; send its key in the header X-Key"
        );
    }
}
