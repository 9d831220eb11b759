//! The memory of processes: every page that is there, whatever it is used for.
use std::{
    fs::{self, File},
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt as _,
};

use super::process::{self, Process, Select};
use crate::canary::{Place, Scan, Unsearchable};

/// Bytes of a page on the machines that this is for.
const PAGE: u64 = 4096;
/// Bits of `/proc/PID/pagemap` for a page that is in memory, or in swap (proc_pid_pagemap(5)).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
/// How the memory of a BPF map is named; [`BpfMaps`](super::BpfMaps) has it.
const BPF_MAP: &str = "anon_inode:bpf-map";

/// Ends the place of a hit in memory that is locked, and so never swapped.
pub const LOCKED: &str = ", locked";

/// The memory of some processes.
#[derive(Debug, Clone)]
pub struct Memory {
    name: String,
    select: Select,
    optional: bool,
    marker: bool,
}

impl Memory {
    /// Of at least one process.
    #[must_use]
    pub fn new(name: impl Into<String>, select: Select) -> Self {
        Self {
            name: name.into(),
            select,
            optional: false,
            marker: false,
        }
    }

    /// There may be no such process.
    #[must_use]
    pub fn optional(self) -> Self {
        let optional = true;
        Self { optional, ..self }
    }

    /// A marker is in it by right.
    #[must_use]
    pub fn with_marker(self) -> Self {
        let marker = true;
        Self { marker, ..self }
    }
}

impl Place for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn has_marker(&self) -> bool {
        self.marker
    }

    fn is_absent(&self) -> Option<String> {
        let none =
            self.optional && process::all().is_ok_and(|all| self.select.from(&all).is_empty());
        none.then(|| "no such process".into())
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        let processes = self.select.from(&process::all()?);
        if processes.is_empty() {
            return Err(Unsearchable::because("processes", "there is none"));
        }
        for process in &processes {
            scan.item();
            let result = search_process(scan, process);
            // What one that has ended had is gone.
            if let Err(error) = result
                && is_alive(process)
            {
                let what = format!("{} ({})", process.program, process.pid);
                scan.failed(&Unsearchable::new(what, error));
            }
        }
        Ok(())
    }
}

fn search_process(scan: &mut Scan<'_>, process: &Process) -> io::Result<()> {
    let open = |file: &str| File::open(format!("/proc/{}/{file}", process.pid));
    let (memory, pagemap) = (open("mem")?, open("pagemap")?);
    for mapping in mappings(process.pid)? {
        if !mapping.is_memory() {
            continue;
        }
        for range in mapping.pages(&pagemap)? {
            let Process { pid, program, .. } = process;
            let Mapping { name, locked, .. } = &mapping;
            let locked = if *locked { LOCKED } else { "" };
            let at = format_args!("{program} ({pid}), {name}{locked}").to_string();
            let pages = Pages {
                memory: &memory,
                next: range.start,
                end: range.end,
            };
            if let Err(error) = scan.stream(&at, range.start, pages)
                && mappings(process.pid)?.contains(&mapping)
            {
                return Err(error);
            }
        }
    }
    Ok(())
}

fn is_alive(process: &Process) -> bool {
    // One that waits for its parent to take note has no memory any more.
    mappings(process.pid).is_ok_and(|mappings| !mappings.is_empty())
}

/// A range of a process's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mapping {
    range: Range<u64>,
    readable: bool,
    shared: bool,
    /// The file's path, or what the kernel calls it.
    name: String,
    locked: bool,
    /// A device's memory, or the kernel's.
    foreign: bool,
}

impl Mapping {
    fn is_memory(&self) -> bool {
        self.readable && !self.foreign && self.name != BPF_MAP
    }

    /// Its pages that hold anything of their own. Those that are not there are all zeros, or a file's.
    fn pages(&self, pagemap: &File) -> io::Result<Vec<Range<u64>>> {
        if self.shared && (self.name.starts_with("/memfd:") || self.name.ends_with(" (deleted)")) {
            // Of memory that others share, pages may be there that are not in this one's map.
            return Ok(vec![self.range.clone()]);
        }
        let count = (self.range.end - self.range.start) / PAGE;
        let mut runs: Vec<Range<u64>> = Vec::new();
        let mut buffer = vec![0; 8 * 8192];
        let mut page = 0;
        while page < count {
            let step = usize::try_from(count - page)
                .unwrap_or(usize::MAX)
                .min(8192);
            let entries = &mut buffer[..8 * step];
            pagemap.read_exact_at(entries, (self.range.start / PAGE + page) * 8)?;
            let (entries, _) = entries.as_chunks::<8>();
            for (index, entry) in (page..).zip(entries) {
                if u64::from_ne_bytes(*entry) & (PRESENT | SWAPPED) == 0 {
                    continue;
                }
                let start = self.range.start + index * PAGE;
                match runs.last_mut() {
                    Some(run) if run.end == start => run.end += PAGE,
                    _ => runs.push(start..start + PAGE),
                }
            }
            page += step as u64;
        }
        Ok(runs)
    }
}

/// A process's mappings, from `/proc/PID/smaps` (proc_pid_smaps(5)).
fn mappings(pid: u32) -> io::Result<Vec<Mapping>> {
    Ok(parse(&fs::read_to_string(format!("/proc/{pid}/smaps"))?))
}

fn parse(smaps: &str) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in smaps.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let has = |wanted: &str| flags.split_whitespace().any(|flag| flag == wanted);
            if let Some(mapping) = mappings.last_mut() {
                mapping.locked = has("lo");
                // I/O memory, and what has no pages to be read.
                mapping.foreign = has("io") || has("pf");
            }
        } else if let Some(mapping) = parse_head(line) {
            mappings.push(mapping);
        }
    }
    mappings
}

/// The first line of a mapping: addresses, permissions, offset, device, inode, name.
fn parse_head(line: &str) -> Option<Mapping> {
    let (addresses, rest) = line.split_once(' ')?;
    let (start, end) = addresses.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    let (permissions, rest) = rest.split_once(' ')?;
    let name = rest.splitn(4, ' ').nth(3).unwrap_or_default().trim();
    Some(Mapping {
        range: start..end,
        readable: permissions.starts_with('r'),
        shared: permissions.ends_with('s'),
        name: if name.is_empty() { "anonymous" } else { name }.to_owned(),
        locked: false,
        foreign: false,
    })
}

/// Pages of a process that follow one another.
struct Pages<'a> {
    memory: &'a File,
    next: u64,
    end: u64,
}

impl Read for Pages<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let read = self.memory.read_at(&mut buffer[..room], self.next)?;
        self.next += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read_with_their_flags() {
        let text = "55d0-55d1 r--p 00000000 fe:00 1234 /usr/bin/my program\n\
            Size:                  4 kB\n\
            VmFlags: rd mr mw me lo sd\n\
            7ffe-7fff rw-p 00000000 00:00 0 \n\
            VmFlags: rd wr\n\
            7fff-8000 rw-s 00000000 00:0e 9 anon_inode:[perf_event]\n\
            VmFlags: rd wr io pf\n";
        let all = parse(text);
        let names: Vec<&str> = all.iter().map(|mapping| mapping.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "/usr/bin/my program",
                "anonymous",
                "anon_inode:[perf_event]"
            ]
        );
        assert_eq!((all[0].range.start, all[0].range.end), (0x55d0, 0x55d1));
        assert!(all[0].locked && !all[1].locked);
        assert!(all[1].is_memory() && !all[2].is_memory());
    }
}
