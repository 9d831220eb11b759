//! Connections of which a part of a head has been acknowledged and is held still: their clients do not send it
//! again. An agent that stops ends them; what is noted here ends them after one that was killed.
use std::{
    collections::HashMap,
    fs, io,
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
const FILE: &str = "owed";

/// What resets each connection whose client does not send again what is held.
pub struct PendingResets {
    file: PathBuf,
    resets: HashMap<FlowKey, Frame>,
}

impl PendingResets {
    /// None yet; they are noted in the state folder.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self {
            file: state.join(FILE),
            resets: HashMap::new(),
        }
    }

    /// Notes one, and what ends it.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn note(&mut self, flow: FlowKey, reset: Frame) -> io::Result<()> {
        self.resets.insert(flow, reset);
        self.write()
    }

    /// Takes one off: what was held has gone on, or the connection has ended.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn remove(&mut self, flow: &FlowKey) -> io::Result<()> {
        match self.resets.remove(flow) {
            Some(_) => self.write(),
            None => Ok(()),
        }
    }

    /// Written for whoever comes after a process that is killed, so that the disk need not have it.
    fn write(&self) -> io::Result<()> {
        if self.resets.is_empty() {
            return ignore_not_found(fs::remove_file(&self.file)).map(drop);
        }
        let mut bytes = Vec::new();
        for packet in self.resets.values().map(Frame::packet) {
            let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(packet);
        }
        let new = self.file.with_extension("new");
        fs::write(&new, bytes)?;
        fs::rename(new, &self.file)
    }
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
fn packets(mut bytes: &[u8]) -> Vec<Frame> {
    let mut packets = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let Some((packet, rest)) = rest.split_at_checked(u16::from_be_bytes(*length).into()) else {
            break;
        };
        let header = if is_ipv4(packet) { IPV4_LEN } else { IPV6_LEN };
        if packet.len() < header {
            break;
        }
        packets.push(Frame::new(Zeroizing::new(packet.to_vec()), 0));
        bytes = rest;
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(source_port: u16) -> FlowKey {
        FlowKey {
            source: [1; 16],
            destination: [2; 16],
            source_port,
            destination_port: 8080,
        }
    }

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
        resets.note(flow(1), reset(7)).unwrap();
        resets.note(flow(2), reset(8)).unwrap();
        resets.note(flow(1), reset(9)).unwrap();
        assert_eq!(noted(folder.path()), [8, 9]);
        resets.remove(&flow(2)).unwrap();
        assert_eq!(noted(folder.path()), [9]);
        resets.remove(&flow(1)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn of_a_damaged_note_what_is_whole_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut resets = PendingResets::new(folder.path());
        resets.note(flow(1), reset(7)).unwrap();
        let file = folder.path().join(FILE);
        let whole = fs::read(&file).unwrap();
        for end in 0..whole.len() {
            assert!(packets(&whole[..end]).is_empty(), "{end}");
        }
        let twice = [&whole[..], &[0, 3, 0x45, 0, 0]].concat();
        assert_eq!(packets(&twice).len(), 1, "a packet without addresses");
    }

    #[test]
    fn without_a_note_nothing_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(send_pending_resets(folder.path()).unwrap(), 0);
    }
}
