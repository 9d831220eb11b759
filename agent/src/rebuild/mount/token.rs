//! The token by which a parked process is found among all processes of the host.
use std::fmt::Write as _;

use rsfaas_shim::PARK_TOKEN;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Random text that one deployment carries in its environment. Whoever knows it could have a handler
/// delivered to a process of his own, so it is neither shown nor logged.
pub struct ParkToken(Zeroizing<String>);

impl ParkToken {
    /// A new token: 16 random bytes as 32 hexadecimal digits.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0_u8; 16]);
        getrandom::fill(bytes.as_mut_slice())?;
        let mut text = Zeroizing::new(String::with_capacity(32));
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
        environ
            .split(|&byte| byte == 0)
            .filter_map(|variable| {
                variable
                    .strip_prefix(PARK_TOKEN.as_bytes())?
                    .strip_prefix(b"=")
            })
            .any(|value| value.ct_eq(self.0.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environ(token: &str) -> Vec<u8> {
        format!("PATH=/bin\0{PARK_TOKEN}={token}\0HOME=/\0").into_bytes()
    }

    #[test]
    fn a_token_is_found_in_an_environment_that_carries_it() {
        let token = ParkToken::generate().unwrap();
        assert!(token.is_in(&environ(token.expose())));
    }

    #[test]
    fn another_token_is_not_mistaken_for_it() {
        let token = ParkToken::generate().unwrap();
        let other = ParkToken::generate().unwrap();
        assert!(!token.is_in(&environ(other.expose())));
        assert!(!token.is_in(&environ("")));
        assert!(!token.is_in(&environ(&token.expose()[..31])));
    }

    #[test]
    fn a_variable_that_merely_ends_like_ours_does_not_count() {
        let token = ParkToken::generate().unwrap();
        assert!(!token.is_in(format!("X{PARK_TOKEN}={}\0", token.expose()).as_bytes()));
        assert!(!token.is_in(format!("{PARK_TOKEN}S={}\0", token.expose()).as_bytes()));
    }

    #[test]
    fn a_token_is_32_hexadecimal_digits() {
        let token = ParkToken::generate().unwrap();
        assert_eq!(token.expose().len(), 32);
        assert!(token.expose().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
