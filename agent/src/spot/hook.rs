//! Which of the kernel's two ingress hooks the spotter takes at an interface.
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Interface;

/// Where the operator wants the spotter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attach {
    /// Where it costs least: at TC on every interface (`docs/architecture.md` has the figures).
    #[default]
    Auto,
    /// At TC.
    Tc,
    /// At XDP: in the driver where it can, before the stack otherwise.
    Xdp,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// TC ingress.
    Tc,
    /// XDP, run by the interface's driver.
    XdpDriver,
    /// XDP, run by the kernel before the stack.
    XdpGeneric,
}

impl Hook {
    /// Whether the hook is one of XDP's.
    #[must_use]
    pub fn is_xdp(self) -> bool {
        self != Self::Tc
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tc => "tc",
            Self::XdpDriver => "xdp-driver",
            Self::XdpGeneric => "xdp-generic",
        })
    }
}

/// Why an interface cannot have XDP, if so.
pub(super) fn obstacle(interface: &Interface) -> Option<&'static str> {
    if interface.loopback {
        // A redirected packet would have no route, and a sent one no room for the sign of release.
        Some(
            "what is released on loopback is sent over it, and known by its mark, which XDP cannot see",
        )
    } else if !interface.ethernet {
        Some("its packets have no Ethernet header, by which XDP would know what is released")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(ethernet: bool, loopback: bool) -> Interface {
        Interface {
            index: 2,
            name: "eth0".into(),
            ethernet,
            loopback,
            mtu: 1500,
        }
    }

    #[test]
    fn only_interfaces_whose_released_packets_xdp_can_tell_may_have_it() {
        assert_eq!(obstacle(&interface(true, false)), None);
        assert!(
            obstacle(&interface(true, true))
                .unwrap()
                .contains("loopback")
        );
        assert!(
            obstacle(&interface(false, false))
                .unwrap()
                .contains("Ethernet")
        );
    }

    #[test]
    fn a_hook_is_shown_and_written_in_the_same_words() {
        for hook in [Hook::Tc, Hook::XdpDriver, Hook::XdpGeneric] {
            let json = serde_json::to_string(&hook).unwrap();
            assert_eq!(json, format!("\"{hook}\""));
        }
    }
}
