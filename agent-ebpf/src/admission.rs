//! Requests that the programs let go on by themselves: those whose head is byte for byte one that the agent has
//! let in before, while the same container serves.

use crate::sip::{self, SipKey};

/// Longest head that is let go on so, in bytes.
pub const HEAD_LEN: usize = 1024;
/// How many heads are known at a time.
pub const ADMISSIONS: u32 = 256;

/// A head's name: a hash of its bytes under a key that is random at each start of the agent. The key that the head
/// carries is in none of the kernel's maps, and who does not know the head cannot make one of the same name.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub [u64; 2]);
crate::plain!(Tag, 16);

impl Tag {
    /// The name of a head.
    #[must_use]
    pub fn of(key: SipKey, head: &[u8]) -> Self {
        Self(sip::hash(key, head))
    }
}

/// What goes on in a known head's place.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The head's name.
    pub tag: Tag,
    /// The head in the form in which it goes on, zeros behind it.
    pub head: [u8; HEAD_LEN],
    /// Place of the head's last byte: of a length, older verifiers would not believe that it is more than zero.
    pub last: u32,
    /// Bytes of the body behind it.
    pub body: u32,
    /// What the new form adds to the sum that the TCP checksum is made of (RFC 1624), in the machine's byte order.
    pub difference: u32,
    /// Zero.
    pub padding: u32,
}
crate::plain!(Admission, 1056);

impl Admission {
    /// None; what was there is overwritten by it.
    pub const NONE: Self = Self {
        tag: Tag([0; 2]),
        head: [0; HEAD_LEN],
        last: 0,
        body: 0,
        difference: 0,
        padding: 0,
    };
}

/// Slots of the map `ADMITTING`: times of the monotonic clock, in nanoseconds. Requests are let go on while the second
/// is after the first: so the programs stop with a failure, and go on once the agent has looked what has failed.
pub mod admitting {
    /// When a function may have failed; the programs write it.
    pub const FAILED: u32 = 0;
    /// When the agent last looked.
    pub const LOOKED: u32 = 1;
    /// How many there are.
    pub const COUNT: u32 = 2;
}
