//! The signs by which the programs let released packets pass, random so that nobody else's packets
//! have them.
use std::io;

/// The signs, made once a start of the agent.
#[derive(Clone, Copy)]
pub struct ReleaseSign {
    /// Mark of packets for TC; not zero.
    pub mark: u32,
    /// Ethernet source address of packets for XDP, which sees no marks. The receiving stack does not
    /// look at it.
    pub source: [u8; 6],
}

impl ReleaseSign {
    /// Bits that Cilium (8 to 11), kube-proxy (14, 15) and tailscale (18, 19) give a meaning, in firewall rules or programs
    /// of their own.
    const TAKEN: u32 = 0xf << 8 | 1 << 14 | 1 << 15 | 1 << 18 | 1 << 19;

    /// Makes new ones.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut mark = [0; 4];
        let mut source = [0; 6];
        getrandom::fill(&mut mark).map_err(io::Error::other)?;
        getrandom::fill(&mut source).map_err(io::Error::other)?;
        // Locally administered, and of a single station (IEEE 802, section 8.4).
        source[0] = source[0] & 0xfc | 0x02;
        Ok(Self {
            mark: u32::from_ne_bytes(mark) & !Self::TAKEN | 1,
            source,
        })
    }

    /// The source address as the programs compare it.
    pub(super) fn source_number(&self) -> u64 {
        self.source
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_single_stations_own_and_a_mark_leaves_the_taken_bits_alone() {
        for _ in 0..100 {
            let sign = ReleaseSign::random().unwrap();
            assert_eq!(sign.source[0] & 3, 2);
            assert_ne!(sign.mark, 0);
            assert_eq!(sign.mark & ReleaseSign::TAKEN, 0);
        }
    }

    #[test]
    fn a_source_is_compared_as_it_stands_in_a_frame() {
        let sign = ReleaseSign {
            mark: 1,
            source: [2, 1, 2, 3, 4, 5],
        };
        assert_eq!(sign.source_number(), 0x0201_0203_0405);
    }
}
