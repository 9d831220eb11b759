//! bpf(2) as it is, so that tests and searches share nothing with what the agent loads its programs with.
use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use nix::libc;

/// A command of bpf(2) (`enum bpf_cmd` in the kernel's `linux/bpf.h`).
#[derive(Debug, Clone, Copy)]
pub enum Command {
    /// Makes a map.
    MapCreate = 0,
    /// Reads an entry.
    MapLookup = 1,
    /// Writes an entry.
    MapUpdate = 2,
    /// The key behind another.
    MapNextKey = 4,
    /// Loads a program.
    ProgramLoad = 5,
    /// Runs a program on a packet.
    ProgramRun = 10,
    /// Opens a program.
    ProgramById = 13,
    /// Opens a map.
    MapById = 14,
    /// Attaches a program.
    LinkCreate = 28,
    /// Puts another program into an attached one's place.
    LinkUpdate = 29,
    /// Opens what attaches a program.
    LinkById = 30,
    /// Counts what programs do.
    EnableStats = 32,
}

/// Where a program may be attached (`enum bpf_prog_type`).
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// TC's hooks.
    Tc = 3,
    /// XDP's.
    Xdp = 6,
}

/// An instruction without an offset.
#[must_use]
pub const fn instruction(code: u8, target: u8, source: u8, value: u32) -> [u8; 8] {
    let [a, b, c, d] = value.to_ne_bytes();
    [code, target | source << 4, 0, 0, a, b, c, d]
}

/// Attributes that are words.
#[must_use]
pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Loads a program.
///
/// # Errors
/// When the kernel refuses.
pub fn load(kind: Kind, instructions: &[[u8; 8]]) -> io::Result<OwnedFd> {
    let license = c"GPL";
    let count = u32::try_from(instructions.len()).map_err(io::Error::other)?;
    let mut attributes = words(&[kind as u32, count]);
    attributes.extend((instructions.as_ptr() as u64).to_ne_bytes());
    attributes.extend((license.as_ptr() as u64).to_ne_bytes());
    attributes.extend([0; 24]);
    // SAFETY: what the attributes point to lives until the call is over, and is only read.
    unsafe { descriptor(Command::ProgramLoad, &mut attributes) }
}

/// Has the kernel count how often programs run and how long, for as long as somebody has the descriptor.
///
/// # Errors
/// When it does not.
pub fn count_runs() -> io::Result<OwnedFd> {
    /// `enum bpf_stats_type`.
    const RUN_TIME: u32 = 0;
    // SAFETY: the attributes are a number, and the command gives a descriptor.
    unsafe { descriptor(Command::EnableStats, &mut words(&[RUN_TIME])) }
}

/// What attaches a program, by its number.
///
/// # Errors
/// When there is none.
pub fn link(number: u32) -> io::Result<OwnedFd> {
    by_number(Command::LinkById, number)
}

/// A program, by its number.
///
/// # Errors
/// When there is none.
pub fn program(number: u32) -> io::Result<OwnedFd> {
    by_number(Command::ProgramById, number)
}

/// A map, by its number.
///
/// # Errors
/// When there is none.
pub fn map(number: u32) -> io::Result<OwnedFd> {
    by_number(Command::MapById, number)
}

fn by_number(command: Command, number: u32) -> io::Result<OwnedFd> {
    // SAFETY: the attributes are a number, and those who call name commands that give a descriptor.
    unsafe { descriptor(command, &mut words(&[number])) }
}

/// Puts a program into the place of the one that is attached there.
///
/// # Errors
/// When another is, or the kernel refuses.
pub fn replace(link: &OwnedFd, attached: &OwnedFd, by: &OwnedFd) -> io::Result<()> {
    /// `BPF_F_REPLACE`.
    const ONLY_IF: u32 = 4;
    let number = |descriptor: &OwnedFd| descriptor.as_raw_fd() as u32;
    let mut attributes = words(&[number(link), number(by), ONLY_IF, number(attached)]);
    // SAFETY: the attributes are numbers.
    unsafe { call(Command::LinkUpdate, &mut attributes) }.map(drop)
}

/// Calls a command that gives a descriptor.
///
/// # Safety
/// As for [`call`]; and it must be such a command.
///
/// # Errors
/// When the kernel refuses.
pub unsafe fn descriptor(command: Command, attributes: &mut [u8]) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for it.
    let number = unsafe { call(command, attributes) }?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Calls a command.
///
/// # Safety
/// What the attributes point to must be as large as the command takes it to be, live until the call is over, and be
/// the caller's to write where the command writes.
///
/// # Errors
/// When the kernel refuses.
pub unsafe fn call(command: Command, attributes: &mut [u8]) -> io::Result<libc::c_int> {
    // SAFETY: the pointer is to so many bytes; for what these point to the caller vouches.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            attributes.as_mut_ptr(),
            attributes.len(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}
