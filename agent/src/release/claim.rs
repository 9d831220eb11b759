//! One agent a network namespace: two would hold the same requests, and each would take the other's pair of interfaces
//! away.
use std::{
    io,
    os::{
        fd::AsFd as _,
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::ReleaseError;

/// Abstract names belong to a network namespace (unix(7)), as interfaces do, and end with the process that has them.
const NAME: &str = "rsfaas-agent";

/// The network namespace is this process's, for as long as this lives.
#[derive(Debug)]
pub(super) struct Claim(
    #[expect(
        dead_code,
        reason = "kept open: the name is free again when it is closed"
    )]
    UnixListener,
);

impl Claim {
    /// Takes the network namespace.
    ///
    /// # Errors
    /// When another agent has it, or the system refuses.
    pub(super) fn take() -> Result<Self, ReleaseError> {
        take(NAME)
    }
}

fn take(name: &str) -> Result<Claim, ReleaseError> {
    let address = SocketAddr::from_abstract_name(name).map_err(ReleaseError::Claim)?;
    match UnixListener::bind_addr(&address) {
        Ok(listener) => Ok(Claim(listener)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ReleaseError::Claimed {
            by: holder(&address),
        }),
        Err(error) => Err(ReleaseError::Claim(error)),
    }
}

/// Whose name it is, in words.
fn holder(address: &SocketAddr) -> String {
    let credentials = UnixStream::connect_addr(address)
        .ok()
        .and_then(|stream| getsockopt(&stream.as_fd(), PeerCredentials).ok());
    // It may just have ended.
    match credentials {
        Some(credentials) => format!("process {}", credentials.pid()),
        None => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_second_is_told_who_was_first() {
        let name = format!("rsfaas-test-{}", std::process::id());
        let first = take(&name).unwrap();
        let refused = take(&name).unwrap_err();
        let text = refused.to_string();
        assert!(matches!(refused, ReleaseError::Claimed { .. }));
        assert!(
            text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
        drop(first);
        assert!(take(&name).is_ok());
    }
}
