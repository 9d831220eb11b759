//! The few commands of bpf(2) that reading maps takes.
use std::{
    io,
    num::NonZero,
    os::fd::{AsRawFd as _, OwnedFd},
    ptr::NonNull,
};

use nix::{
    libc,
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
    unistd::{SysconfVar, sysconf},
};

use crate::bpf::{self, Command};

/// A map of the kernel's.
#[derive(Debug)]
pub(super) struct Map(OwnedFd);

impl Map {
    pub(super) fn by_id(id: u32) -> io::Result<Self> {
        bpf::map(id).map(Self)
    }

    /// The key after one, or the first; `None` behind the last.
    pub(super) fn next_key(&self, key: Option<&[u8]>, size: usize) -> io::Result<Option<Vec<u8>>> {
        let mut next = vec![0; size];
        let pointer = key.map_or(0, |key| key.as_ptr() as u64);
        match self.element(Command::MapNextKey, pointer, &mut next) {
            Ok(()) => Ok(Some(next)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A key's value; `None` where it has been removed. `value` is as large as the map's values are, on all
    /// CPUs together where each has its own.
    pub(super) fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<Option<()>> {
        match self.element(Command::MapLookup, key.as_ptr() as u64, value) {
            Ok(()) => Ok(Some(())),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn element(&self, command: Command, key: u64, out: &mut [u8]) -> io::Result<()> {
        let mut attributes = [0; 32];
        attributes[..4].copy_from_slice(&(self.0.as_raw_fd() as u32).to_ne_bytes());
        attributes[8..16].copy_from_slice(&key.to_ne_bytes());
        attributes[16..24].copy_from_slice(&(out.as_mut_ptr() as u64).to_ne_bytes());
        // SAFETY: the callers keep alive what these point to, and it is as large as the map says.
        unsafe { bpf::call(command, &mut attributes) }.map(drop)
    }

    /// A copy of the bytes of a ring buffer, whether they were read already or not.
    pub(super) fn ring(&self, size: usize) -> io::Result<Vec<u8>> {
        let page = sysconf(SysconfVar::PAGE_SIZE)?.unwrap_or(4096);
        let too_large = |_| io::Error::from(io::ErrorKind::InvalidData);
        // Two pages of positions come first; the consumer's may be mapped apart.
        let page = usize::try_from(page).map_err(too_large)?;
        let length = NonZero::new(page + size).ok_or(io::ErrorKind::InvalidData)?;
        // SAFETY: the kernel chooses the address.
        let start: NonNull<libc::c_void> = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ,
                MapFlags::MAP_SHARED,
                &self.0,
                libc::off_t::try_from(page).map_err(too_large)?,
            )
        }?;
        let mut copy = vec![0; size];
        // SAFETY: the first of the mapped pages is followed by `size` bytes.
        let data = unsafe { start.as_ptr().cast::<u8>().add(page) };
        // SAFETY: both are of that size and apart. The kernel may write meanwhile: bytes of either moment
        // will do.
        unsafe { std::ptr::copy_nonoverlapping(data, copy.as_mut_ptr(), size) };
        // SAFETY: mapped above, and no pointer into it is used any more.
        unsafe { munmap(start, length.get()) }?;
        Ok(copy)
    }
}
