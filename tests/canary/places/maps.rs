//! The BPF maps of a process: keys and values, on every CPU, and ring buffers with what was read from them.
use std::{collections::BTreeSet, fs, io};

use super::bpf::Map;
use crate::canary::{Place, Scan, Unsearchable};

/// Kinds of map (`enum bpf_map_type` in the kernel's `linux/bpf.h`).
const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PROGRAMS: u32 = 3;
const PERF_EVENTS: u32 = 4;
const PER_CPU_HASH: u32 = 5;
const PER_CPU_ARRAY: u32 = 6;
const LRU_HASH: u32 = 9;
const LRU_PER_CPU_HASH: u32 = 10;
const RING: u32 = 27;

/// The maps that a process has open.
#[derive(Debug, Clone, Copy)]
pub struct BpfMaps {
    /// The process.
    pub pid: u32,
}

impl Place for BpfMaps {
    fn name(&self) -> &'static str {
        "BPF maps"
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        let maps = open_maps(self.pid).map_err(Unsearchable::at("the agent's maps"))?;
        if maps.is_empty() {
            return Err(Unsearchable::because(
                "the agent's maps",
                "it has none open",
            ));
        }
        for map in maps {
            scan.item();
            let name = format!("map {} of kind {}", map.id, map.kind);
            if let Err(error) = search_map(scan, &map, &name) {
                scan.failed(&Unsearchable::new(name, error));
            }
        }
        Ok(())
    }
}

/// A map, as `/proc/PID/fdinfo` tells of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct OpenMap {
    id: u32,
    kind: u32,
    key_size: usize,
    value_size: usize,
    entries: usize,
}

impl OpenMap {
    /// `None` where the text is not about a map.
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| -> Option<u32> {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().parse().ok()
        };
        Some(Self {
            id: field("map_id:")?,
            kind: field("map_type:")?,
            key_size: field("key_size:")? as usize,
            value_size: field("value_size:")? as usize,
            entries: field("max_entries:")? as usize,
        })
    }
}

fn open_maps(pid: u32) -> io::Result<BTreeSet<OpenMap>> {
    let mut maps = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // A descriptor may have been closed meanwhile.
        if let Ok(text) = fs::read_to_string(entry?.path()) {
            maps.extend(OpenMap::parse(&text));
        }
    }
    Ok(maps)
}

fn search_map(scan: &mut Scan<'_>, known: &OpenMap, name: &str) -> io::Result<()> {
    let map = match Map::by_id(known.id) {
        // Closed meanwhile: it is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        map => map?,
    };
    let size = match known.kind {
        HASH | ARRAY | LRU_HASH => known.value_size,
        PER_CPU_HASH | PER_CPU_ARRAY | LRU_PER_CPU_HASH => {
            known.value_size.next_multiple_of(8) * possible_cpus()?
        }
        RING => {
            scan.bytes(&name, 0, &map.ring(known.entries)?);
            return Ok(());
        }
        // They hold descriptors alone.
        PROGRAMS | PERF_EVENTS => return Ok(()),
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let mut value = vec![0; size];
    let mut key = map.next_key(None, known.key_size)?;
    // Where entries come and go, the walk may start again: it ends all the same.
    for _ in 0..=2 * known.entries {
        let Some(found) = key else {
            return Ok(());
        };
        scan.bytes(&name, 0, &found);
        if map.lookup(&found, &mut value)?.is_some() {
            scan.bytes(&name, 0, &value);
        }
        key = map.next_key(Some(&found), known.key_size)?;
    }
    Err(io::Error::other("its entries change too fast"))
}

/// How many CPUs the kernel has room for: so many values a per-CPU map has.
fn possible_cpus() -> io::Result<usize> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = text.trim().rsplit(['-', ',']).next().unwrap_or_default();
    let last: usize = last.parse().map_err(io::Error::other)?;
    Ok(last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_from_what_the_kernel_tells_of_its_descriptor() {
        let text = "pos:\t0\nflags:\t02000002\nmap_type:\t27\nkey_size:\t0\nvalue_size:\t0\n\
            max_entries:\t16777216\nmap_flags:\t0x0\nmap_id:\t12\nfrozen:\t0\n";
        assert_eq!(
            OpenMap::parse(text),
            Some(OpenMap {
                id: 12,
                kind: RING,
                key_size: 0,
                value_size: 0,
                entries: 16 << 20
            })
        );
        assert_eq!(OpenMap::parse("pos:\t0\nprog_id:\t3\n"), None);
    }
}
