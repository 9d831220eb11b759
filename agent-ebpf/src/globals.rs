//! Globals that the agent sets before it loads the programs.

use agent_ebpf::sip::SipKey;

#[unsafe(no_mangle)]
static GATEWAY_PORT: u16 = 8080;

#[unsafe(no_mangle)]
static RELEASE_MARK: u32 = 0;

#[unsafe(no_mangle)]
static RELEASE_SOURCE: u64 = 0;

#[unsafe(no_mangle)]
static ADMISSION_KEY: SipKey = SipKey([0; 2]);

/// Port of the gateway, host byte order.
#[inline(always)]
pub(crate) fn gateway_port() -> u16 {
    // SAFETY: a global of this object; volatile because the loader writes it after compilation.
    unsafe { core::ptr::read_volatile(&raw const GATEWAY_PORT) }
}

/// The mark of released packets, random at each start of the agent.
#[inline(always)]
pub(crate) fn release_mark() -> u32 {
    // SAFETY: a global of this object; volatile because the loader writes it after compilation.
    unsafe { core::ptr::read_volatile(&raw const RELEASE_MARK) }
}

/// The Ethernet source address of packets released to an interface with XDP, as random as the mark.
#[inline(always)]
pub(crate) fn release_source() -> u64 {
    // SAFETY: a global of this object; volatile because the loader writes it after compilation.
    unsafe { core::ptr::read_volatile(&raw const RELEASE_SOURCE) }
}

/// The key under which heads have their names, random at each start of the agent.
#[inline(always)]
pub(crate) fn admission_key() -> SipKey {
    // SAFETY: a global of this object; volatile because the loader writes it after compilation.
    unsafe { core::ptr::read_volatile(&raw const ADMISSION_KEY) }
}
