//! The token by which a parked process is found among all processes of the host.
use std::fmt::Write as _;

use rsfaas_shim::PARK_TOKEN;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Hexadecimal digits of a token.
const DIGITS: usize = 32;

/// Random text that one deployment carries in its environment. Whoever knows it could have a handler
/// delivered to a process of his own, so it is neither shown nor logged.
pub struct ParkToken(Zeroizing<String>);

impl ParkToken {
    /// A new token: the host ID, by which an agent knows what an earlier one has left
    /// running, and 16 random bytes as 32 hexadecimal digits.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn generate(host: &str) -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0_u8; 16]);
        getrandom::fill(bytes.as_mut_slice())?;
        let mut text = Zeroizing::new(String::with_capacity(host.len() + 1 + DIGITS));
        text.push_str(host);
        text.push('-');
        for byte in bytes.iter() {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    /// The text, for the variable [`rsfaas_shim::PARK_TOKEN`].
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Tells whether an environment, as `/proc/PID/environ` has it, carries this token.
    pub(super) fn is_in(&self, environ: &[u8]) -> bool {
        tokens(environ).any(|value| value.ct_eq(self.0.as_bytes()).into())
    }

    /// Tells whether an environment carries any token of a host.
    pub(super) fn is_of(host: &str, environ: &[u8]) -> bool {
        tokens(environ).any(|value| {
            value
                .strip_prefix(host.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"-"))
                .is_some_and(|digits| digits.len() == DIGITS)
        })
    }
}

/// The values of the token's variable in an environment.
fn tokens(environ: &[u8]) -> impl Iterator<Item = &[u8]> {
    environ.split(|&byte| byte == 0).filter_map(|variable| {
        variable
            .strip_prefix(PARK_TOKEN.as_bytes())?
            .strip_prefix(b"=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environ(token: &str) -> Vec<u8> {
        format!("PATH=/bin\0{PARK_TOKEN}={token}\0HOME=/\0").into_bytes()
    }

    #[test]
    fn a_token_is_found_in_an_environment_that_carries_it() {
        let token = ParkToken::generate("abc").unwrap();
        assert!(token.is_in(&environ(token.expose())));
    }

    #[test]
    fn another_token_is_not_mistaken_for_it() {
        let token = ParkToken::generate("abc").unwrap();
        let other = ParkToken::generate("abc").unwrap();
        assert!(!token.is_in(&environ(other.expose())));
        assert!(!token.is_in(&environ("")));
        assert!(!token.is_in(&environ(&token.expose()[..DIGITS])));
    }

    #[test]
    fn a_variable_that_merely_ends_like_ours_does_not_count() {
        let token = ParkToken::generate("abc").unwrap();
        assert!(!token.is_in(format!("X{PARK_TOKEN}={}\0", token.expose()).as_bytes()));
        assert!(!token.is_in(format!("{PARK_TOKEN}S={}\0", token.expose()).as_bytes()));
    }

    #[test]
    fn a_token_tells_its_host_and_no_other_one() {
        let token = ParkToken::generate("abc").unwrap();
        let digits = token.expose().strip_prefix("abc-").unwrap();
        assert!(digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let environ = environ(token.expose());
        assert!(ParkToken::is_of("abc", &environ));
        for other in ["", "ab", "abc-", "abd"] {
            assert!(!ParkToken::is_of(other, &environ), "{other}");
        }
    }
}
