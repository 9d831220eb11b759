//! A packet at a hook: what the programs need of it, whether TC or XDP hands it to them.

use aya_ebpf::{
    EbpfContext,
    bindings::BPF_CSUM_LEVEL_QUERY,
    helpers::{
        bpf_csum_level, bpf_l4_csum_replace, bpf_skb_load_bytes, bpf_skb_store_bytes,
        bpf_xdp_get_buff_len, bpf_xdp_load_bytes,
    },
    programs::{TcContext, XdpContext},
};

use crate::globals;

/// Where the checksum is in TCP's header (RFC 9293, section 3.1).
const CHECKSUM: u32 = 16;
/// Where the source address is in an Ethernet header.
const SOURCE: usize = 6;
/// Where the numbers of an Ethernet source address end, as part of a word that starts before it.
const SOURCE_WORD: usize = SOURCE - 2;
const SOURCE_MASK: u64 = 0xffff_ffff_ffff;

/// A packet. What can be read directly is the linear part; the rest is copied out.
pub(crate) trait Frame: EbpfContext {
    /// Address of the first byte.
    fn data(&self) -> usize;

    /// Address behind the linear part.
    fn data_end(&self) -> usize;

    /// Bytes of the whole packet.
    fn len(&self) -> u32;

    /// Makes the first bytes readable directly, as many as there are of them; false where the hook
    /// has no means to.
    fn pull(&self, length: u32) -> bool;

    /// Copies bytes out; false where the packet ends before.
    ///
    /// # Safety
    /// There must be room for `length` bytes behind the pointer, and `length` must not be zero.
    unsafe fn load_bytes(&self, offset: u32, to: *mut u8, length: u32) -> bool;

    /// Whether packets can be written to here, with the checksum that stands for them.
    const REWRITES: bool;

    /// Writes bytes at an offset into a segment's payload, whose sum differs by so much, and makes the checksum of the
    /// segment, whose TCP header is at `transport`, theirs. Where that cannot be done, the payload is as before, but the
    /// checksum may not.
    ///
    /// # Safety
    /// There must be `length` bytes behind the pointer, and `length` must not be zero.
    unsafe fn rewrite(
        &self,
        transport: u32,
        offset: u32,
        from: *const u8,
        length: u32,
        difference: u32,
    ) -> bool;

    /// Index of the interface at whose hook the program runs.
    fn interface(&self) -> u32;

    /// The size of the segments of which the packet was put together, as in `EventHeader::segment`.
    fn segment(&self) -> u16;

    /// Whether the TCP checksum was found right already, as in `flag::VERIFIED`.
    fn is_verified(&self) -> bool;

    /// The VLAN tag that the interface stripped, as in `EventHeader::vlan`.
    fn stripped_vlan(&self) -> u32;

    /// Whether the agent has released this packet; the sign of it goes no further.
    fn take_release(&self) -> bool;
}

impl Frame for TcContext {
    #[inline(always)]
    fn data(&self) -> usize {
        self.data()
    }

    #[inline(always)]
    fn data_end(&self) -> usize {
        self.data_end()
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        self.len()
    }

    #[inline(always)]
    fn pull(&self, length: u32) -> bool {
        let length = if self.len() < length {
            self.len()
        } else {
            length
        };
        self.pull_data(length).is_ok()
    }

    #[inline(always)]
    unsafe fn load_bytes(&self, offset: u32, to: *mut u8, length: u32) -> bool {
        // SAFETY: the caller vouches for the room.
        unsafe { bpf_skb_load_bytes(self.as_ptr().cast(), offset, to.cast(), length) == 0 }
    }

    const REWRITES: bool = true;

    /// Without `BPF_F_RECOMPUTE_CSUM`: where the interface has summed up the whole packet, the change of the payload
    /// and that of the checksum leave the sum as it is.
    #[inline(always)]
    unsafe fn rewrite(
        &self,
        transport: u32,
        offset: u32,
        from: *const u8,
        length: u32,
        difference: u32,
    ) -> bool {
        let skb = self.as_ptr().cast();
        let (checksum, difference) = (transport + CHECKSUM, u64::from(difference));
        // SAFETY: the helper touches no memory of ours.
        let replaced = unsafe { bpf_l4_csum_replace(skb, checksum, 0, difference, 0) };
        // SAFETY: the caller vouches for the bytes.
        replaced == 0 && unsafe { bpf_skb_store_bytes(skb, offset, from.cast(), length, 0) } == 0
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: the kernel hands a valid context, and rewrites this access to the packet's field.
        unsafe { (*self.skb.skb).ifindex }
    }

    #[inline(always)]
    fn segment(&self) -> u16 {
        // SAFETY: the kernel hands a valid context, and rewrites this access to the packet's field. It has it
        // in as many bits.
        unsafe { (*self.skb.skb).gso_size as u16 }
    }

    /// By the interface, whose word the stack takes, too; what it has not looked at has no level.
    #[inline(always)]
    fn is_verified(&self) -> bool {
        let query = u64::from(BPF_CSUM_LEVEL_QUERY);
        // SAFETY: the kernel hands a valid context, which the helper only reads.
        unsafe { bpf_csum_level(self.as_ptr().cast(), query) >= 0 }
    }

    #[inline(always)]
    fn stripped_vlan(&self) -> u32 {
        // SAFETY: the kernel hands a valid context, and rewrites this access to the packet's field.
        let present = unsafe { (*self.skb.skb).vlan_present };
        if present == 0 {
            return 0;
        }
        // SAFETY: the kernel hands a valid context, and rewrites this access to the packet's field.
        let protocol = unsafe { (*self.skb.skb).vlan_proto } as u16;
        // SAFETY: the kernel hands a valid context, and rewrites this access to the packet's field.
        let control = unsafe { (*self.skb.skb).vlan_tci };
        u32::from(u16::from_be(protocol)) << 16 | (control & 0xffff)
    }

    /// By the packet's mark.
    #[inline(always)]
    fn take_release(&self) -> bool {
        if mark(self) != globals::release_mark() {
            return false;
        }
        // Nobody behind this program is to take it for a mark of theirs.
        self.set_mark(0);
        true
    }
}

impl Frame for XdpContext {
    #[inline(always)]
    fn data(&self) -> usize {
        self.data()
    }

    #[inline(always)]
    fn data_end(&self) -> usize {
        self.data_end()
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        // SAFETY: the helper reads the context, which is the kernel's own.
        unsafe { bpf_xdp_get_buff_len(self.ctx) as u32 }
    }

    #[inline(always)]
    fn pull(&self, _: u32) -> bool {
        false
    }

    #[inline(always)]
    unsafe fn load_bytes(&self, offset: u32, to: *mut u8, length: u32) -> bool {
        // SAFETY: the caller vouches for the room.
        unsafe { bpf_xdp_load_bytes(self.ctx, offset, to.cast(), length) == 0 }
    }

    /// Nothing tells here whether the checksum is one already, or what the sender's stack leaves to the device.
    const REWRITES: bool = false;

    #[inline(always)]
    unsafe fn rewrite(&self, _: u32, _: u32, _: *const u8, _: u32, _: u32) -> bool {
        false
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        self.ingress_ifindex() as u32
    }

    /// Not to be seen from here.
    #[inline(always)]
    fn segment(&self) -> u16 {
        0
    }

    /// Not to be seen from here.
    #[inline(always)]
    fn is_verified(&self) -> bool {
        false
    }

    /// Not to be seen from here.
    #[inline(always)]
    fn stripped_vlan(&self) -> u32 {
        0
    }

    /// By the source address, which the stack does not look at: there are no marks before it. A bridge would learn it,
    /// and send it on.
    #[inline(always)]
    fn take_release(&self) -> bool {
        let is_released = source(self).is_some_and(|source| source == globals::release_source());
        if is_released {
            hide_source(self);
        }
        is_released
    }
}

/// The packet's mark.
#[inline(always)]
pub(crate) fn mark(ctx: &TcContext) -> u32 {
    // SAFETY: the kernel hands a valid context, and rewrites this access to the packet's field.
    unsafe { (*ctx.skb.skb).mark }
}

/// The Ethernet source address as a number.
#[inline(always)]
pub(crate) fn source(frame: &impl Frame) -> Option<u64> {
    let word = load::<u64>(frame, SOURCE_WORD)?;
    Some(u64::from_be(word) & SOURCE_MASK)
}

/// Puts a local address that says nothing in the place of the Ethernet source address (IEEE 802c: locally
/// administered, unicast).
#[inline(always)]
fn hide_source(frame: &XdpContext) {
    const ANYBODY: [u8; 6] = [2, 0, 0, 0, 0, 0];
    let at = frame.data() + SOURCE;
    if at + ANYBODY.len() <= frame.data_end() {
        // SAFETY: as many bytes lie before the packet's end, as just checked; they need no alignment.
        unsafe { (at as *mut [u8; 6]).write_unaligned(ANYBODY) };
    }
}

/// Reads a value from the linear part.
#[inline(always)]
pub(crate) fn load<T: Copy>(frame: &impl Frame, offset: usize) -> Option<T> {
    let start = frame.data() + offset;
    if start + size_of::<T>() > frame.data_end() {
        return None;
    }
    // SAFETY: the bytes lie between the packet's start and the end of its linear part, as checked
    // just before; `T` is an array of bytes or an integer, read without regard to alignment.
    Some(unsafe { core::ptr::read_unaligned(start as *const T) })
}

/// A length, from the number before it, that is at least one and at most `room`. Older verifiers
/// (Linux 6.1 among them) learn nothing from a comparison with zero, but from this; the caller has to
/// read the number back from memory, or the compiler would make that comparison of it.
#[inline(always)]
pub(crate) fn at_least_one(last: u32, room: u32) -> u32 {
    if last < room { last + 1 } else { room }
}
