//! Connections of which a part of a head has been acknowledged and is held still: their clients do not send it
//! again. An agent that stops ends them; what is noted here ends them after one that was killed.
use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use agent_ebpf::FlowKey;
use zeroize::Zeroizing;

use super::{
    headers::{IPV4_LEN, IPV6_LEN, is_ipv4},
    loopback::Loopback,
    template::Frame,
};
use crate::not_found::ignore_not_found;

/// The file in the state folder.
const FILE: &str = "pending-resets";
/// Bytes that a packet takes there, behind its length: one with the longest headers fits.
const SLOT: usize = 64;
const LENGTH: usize = size_of::<u16>();

/// What resets each connection whose client does not send again what is held.
///
/// Written for whoever comes after a process that is killed, so that the disk need not have it; a slot a connection, so that
/// one costs as much as another, however many there are.
pub struct PendingResets {
    path: PathBuf,
    /// There while any connection has a slot.
    file: Option<File>,
    slots: HashMap<FlowKey, u64>,
    /// Slots that connections had.
    free: Vec<u64>,
}

impl PendingResets {
    /// None yet; they are noted in the state folder.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self {
            path: state.join(FILE),
            file: None,
            slots: HashMap::new(),
            free: Vec::new(),
        }
    }

    /// Notes one, and what ends it.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn note(&mut self, flow: FlowKey, reset: &Frame) -> io::Result<()> {
        let slot = slot_of(reset.packet())?;
        let file = match self.file.take() {
            Some(file) => file,
            None => File::create(&self.path)?,
        };
        let file = self.file.insert(file);
        let next = self.slots.len() as u64;
        let index = match self.slots.get(&flow) {
            Some(index) => *index,
            None => self.free.pop().unwrap_or(next),
        };
        self.slots.insert(flow, index);
        file.write_all_at(&slot, index * SLOT as u64)
    }

    /// Takes one off: what was held has gone on, or the connection has ended.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn remove(&mut self, flow: &FlowKey) -> io::Result<()> {
        let Some(index) = self.slots.remove(flow) else {
            return Ok(());
        };
        if self.slots.is_empty() {
            (self.file, self.free) = (None, Vec::new());
            return ignore_not_found(fs::remove_file(&self.path)).map(drop);
        }
        self.free.push(index);
        match &self.file {
            Some(file) => file.write_all_at(&[0; SLOT], index * SLOT as u64),
            None => Ok(()),
        }
    }
}

/// A packet behind its length, in a slot.
fn slot_of(packet: &[u8]) -> io::Result<[u8; SLOT]> {
    let mut slot = [0; SLOT];
    let (length, room) = slot.split_at_mut(LENGTH);
    let room = room
        .get_mut(..packet.len())
        .ok_or(io::ErrorKind::FileTooLarge)?;
    room.copy_from_slice(packet);
    length.copy_from_slice(&(packet.len() as u16).to_be_bytes());
    Ok(slot)
}

/// Ends the connections that an agent which is gone has left; how many.
///
/// # Errors
/// When what it has noted cannot be read, or the kernel takes no packets.
pub fn send_pending_resets(state: &Path) -> io::Result<usize> {
    let file = state.join(FILE);
    let Some(bytes) = ignore_not_found(fs::read(&file))? else {
        return Ok(0);
    };
    // No agent runs, and so nothing looks at marks.
    let way = Loopback::open(0)?;
    let mut ended = 0;
    for packet in packets(&bytes) {
        match way.send(&packet) {
            Ok(_) => ended += 1,
            Err(error) => {
                let to = packet.destination();
                tracing::warn!(%to, %error, "a client waits for an answer that does not come");
            }
        }
    }
    ignore_not_found(fs::remove_file(&file))?;
    Ok(ended)
}

/// What was noted, as far as it is whole.
fn packets(bytes: &[u8]) -> Vec<Frame> {
    bytes.chunks_exact(SLOT).filter_map(packet_in).collect()
}

/// The packet in a slot; an empty one has none.
fn packet_in(slot: &[u8]) -> Option<Frame> {
    let (length, room) = slot.split_first_chunk()?;
    let packet = room.get(..u16::from_be_bytes(*length).into())?;
    let header = if is_ipv4(packet) { IPV4_LEN } else { IPV6_LEN };
    (packet.len() >= header).then(|| Frame::new(Zeroizing::new(packet.to_vec()), 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::example::flow;

    /// An IPv4 header to an address of no network, with a byte behind it.
    fn reset(last: u8) -> Frame {
        let mut packet = [0; 21];
        (packet[0], packet[20]) = (0x45, last);
        Frame::new(Zeroizing::new([&[0; 14], &packet[..]].concat()), 14)
    }

    fn noted(folder: &Path) -> Vec<u8> {
        let bytes = fs::read(folder.join(FILE)).unwrap_or_default();
        let mut last: Vec<u8> = packets(&bytes)
            .iter()
            .filter_map(|packet| packet.packet().last().copied())
            .collect();
        last.sort_unstable();
        last
    }

    #[test]
    fn resets_are_noted_until_they_are_taken_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut resets = PendingResets::new(folder.path());
        resets.remove(&flow(1)).unwrap();
        resets.note(flow(1), &reset(7)).unwrap();
        resets.note(flow(2), &reset(8)).unwrap();
        resets.note(flow(1), &reset(9)).unwrap();
        assert_eq!(noted(folder.path()), [8, 9]);
        resets.remove(&flow(2)).unwrap();
        assert_eq!(noted(folder.path()), [9]);
        resets.remove(&flow(1)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_slot_that_is_free_is_the_next_connections() {
        let folder = tempfile::tempdir().unwrap();
        let mut resets = PendingResets::new(folder.path());
        for port in 1..=3 {
            resets.note(flow(port), &reset(port as u8)).unwrap();
        }
        resets.remove(&flow(2)).unwrap();
        assert_eq!(noted(folder.path()), [1, 3]);
        resets.note(flow(4), &reset(4)).unwrap();
        resets.note(flow(5), &reset(5)).unwrap();
        assert_eq!(noted(folder.path()), [1, 3, 4, 5]);
        let length = fs::metadata(folder.path().join(FILE)).unwrap().len();
        assert_eq!(length, 4 * SLOT as u64);
    }

    #[test]
    fn the_longest_packet_that_resets_a_connection_fits_into_a_slot() {
        // IPv6's header and TCP's (RFC 8200, RFC 9293).
        assert!(slot_of(&[0x60; 40 + 20]).is_ok());
        assert!(slot_of(&[0x60; SLOT]).is_err());
    }

    #[test]
    fn of_a_damaged_note_what_is_whole_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut resets = PendingResets::new(folder.path());
        resets.note(flow(1), &reset(7)).unwrap();
        let whole = fs::read(folder.path().join(FILE)).unwrap();
        for end in 0..whole.len() {
            assert!(packets(&whole[..end]).is_empty(), "{end}");
        }
        let mut damaged = whole.clone();
        damaged[..LENGTH].copy_from_slice(&[0xff; LENGTH]);
        assert_eq!(packets(&[damaged, whole].concat()).len(), 1);
    }

    #[test]
    fn without_a_note_nothing_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(send_pending_resets(folder.path()).unwrap(), 0);
    }
}
