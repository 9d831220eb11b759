//! Places to plant a secret in.
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use nix::{
    mount::{MntFlags, umount2},
    unistd::syncfs,
};
use rsfaas_tests::{
    bpf::{self, instruction, words},
    canary::places::Blocks,
};
use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::Result;

/// Text, compressed as layers are.
pub(crate) fn gzip(text: &str) -> Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text.as_bytes())?;
    Ok(packed.finish()?)
}

/// Text, compressed as newer engines and registries may compress layers: in frames that hold a few bytes each, with
/// frames between them that are to be skipped.
pub(crate) fn zstd(text: &str) -> Vec<u8> {
    let mut packed = Vec::new();
    for piece in text.as_bytes().chunks(5) {
        packed.extend(compress_to_vec(piece, CompressionLevel::Fastest));
        packed.extend([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0]);
        packed.extend(b"abc");
    }
    packed
}

/// A disk in an image file; unmounted when dropped.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn new() -> Result<Self> {
        let disk = Self {
            folder: tempfile::tempdir()?,
        };
        File::create(disk.image())?.set_len(64 << 20)?;
        fs::create_dir(disk.mount())?;
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F"])
            .arg(disk.image()))?;
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(disk.image())
            .arg(disk.mount()))?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("disk.img")
    }

    pub(crate) fn mount(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    pub(crate) fn blocks(&self) -> Blocks {
        Blocks {
            image: self.image(),
            mount: self.mount(),
            elsewhere: None,
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The folder cannot be removed then, which is told.
        let _ = umount2(&self.mount(), MntFlags::MNT_DETACH);
    }
}

fn run(command: &mut Command) -> Result {
    let status = command.status()?;
    assert!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// Writes a file to a disk, and deletes it.
pub(crate) fn write_and_delete(path: &Path, bytes: &[u8]) -> Result {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    syncfs(&file)?;
    Ok(fs::remove_file(path)?)
}

/// What reads a line, says so, and waits for another.
const READER: &str = "read -r line; echo read; read -r never";

/// A process that has read a line; killed when dropped.
pub(crate) struct Holder {
    process: Child,
    /// Where its program is.
    _folder: tempfile::TempDir,
}

impl Holder {
    pub(crate) fn of(line: &str) -> Result<Self> {
        Self::named("sh", line)
    }

    /// One whose program has this name.
    pub(crate) fn named(program: &str, line: &str) -> Result<Self> {
        Self::start(program, READER, line)
    }

    /// One below what starts containers.
    pub(crate) fn in_container(line: &str) -> Result<Self> {
        // The last command would take the shim's place.
        let shim = format!("sh -c '{READER}'; true");
        Self::start("containerd-shim-runc-v2", &shim, line)
    }

    fn start(program: &str, script: &str, line: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let program = folder.path().join(program);
        // Not copied by this process: a child that another thread starts meanwhile would keep the file open for
        // writing, and nobody could run it.
        run(Command::new("cp").arg("/bin/sh").arg(&program))?;
        let mut process = Command::new(program)
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut answer = String::new();
        if let (Some(stdin), Some(stdout)) = (&mut process.stdin, process.stdout.take()) {
            writeln!(stdin, "{line}")?;
            BufReader::new(stdout).read_line(&mut answer)?;
        }
        assert_eq!(answer, "read\n");
        Ok(Self {
            process,
            _folder: folder,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A ramfs that is mounted nowhere, as the agent makes it.
pub(crate) fn ramfs_with(secret: &str) -> Result<OwnedFd> {
    let context = fsopen("ramfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let mount = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    let file = openat(
        &mount,
        "handler.py",
        OFlags::CREATE | OFlags::WRONLY,
        Mode::RUSR,
    )?;
    File::from(file).write_all(secret.as_bytes())?;
    Ok(mount)
}

/// Kinds of map (`enum bpf_map_type` in the kernel's `linux/bpf.h`).
pub(crate) const HASH: u32 = 1;
pub(crate) const ARRAY: u32 = 2;
pub(crate) const PER_CPU_HASH: u32 = 5;
pub(crate) const PER_CPU_ARRAY: u32 = 6;
pub(crate) const LRU_HASH: u32 = 9;
pub(crate) const LRU_PER_CPU_HASH: u32 = 10;
const RING: u32 = 27;

/// Bytes of a map's value.
const VALUE: u32 = 64;

/// A BPF map of this process with one value, on one CPU where each has its own.
pub(crate) fn map_with(kind: u32, value: &[u8]) -> Result<OwnedFd> {
    let map = map_of(&[kind, 4, VALUE, 1])?;
    let key = 0_u32;
    // Room for one on each of many CPUs.
    let mut values = vec![0; 64 * 1024];
    values[..value.len()].copy_from_slice(value);
    let mut attributes = words(&[map.as_raw_fd() as u32, 0]);
    attributes.extend((&raw const key as u64).to_ne_bytes());
    attributes.extend((values.as_ptr() as u64).to_ne_bytes());
    attributes.extend([0; 8]);
    // SAFETY: the key is as large as the map was made for, and the values are at least.
    unsafe { bpf::call(bpf::Command::MapUpdate, &mut attributes) }?;
    Ok(map)
}

/// A map of this kind, size of keys, size of values and number of entries.
fn map_of(attributes: &[u32]) -> Result<OwnedFd> {
    // SAFETY: the attributes are numbers, and point to nothing.
    let map = unsafe { bpf::descriptor(bpf::Command::MapCreate, &mut words(attributes)) };
    Ok(map?)
}

/// A ring buffer of this process with one record, which a program has written there.
pub(crate) fn ring_with(value: &[u8]) -> Result<OwnedFd> {
    let ring = map_of(&[RING, 0, 0, 4096])?;
    let source = map_with(ARRAY, value)?;
    let program = [
        // r1 = the ring (BPF_PSEUDO_MAP_FD), r2 = the address of the value (BPF_PSEUDO_MAP_VALUE)
        instruction(0x18, 1, 1, ring.as_raw_fd() as u32),
        instruction(0, 0, 0, 0),
        instruction(0x18, 2, 2, source.as_raw_fd() as u32),
        instruction(0, 0, 0, 0),
        // r3 = its size, r4 = no flags; bpf_ringbuf_output; r0 = 0; exit
        instruction(0xb7, 3, 0, VALUE),
        instruction(0xb7, 4, 0, 0),
        instruction(0x85, 0, 0, 130),
        instruction(0xb7, 0, 0, 0),
        instruction(0x95, 0, 0, 0),
    ];
    let program = bpf::load(bpf::Kind::Tc, &program)?;
    let packet = [0_u8; 64];
    let length = u32::try_from(packet.len())?;
    let mut attributes = words(&[program.as_raw_fd() as u32, 0, length, 0]);
    attributes.extend((packet.as_ptr() as u64).to_ne_bytes());
    attributes.extend([0; 16]);
    // SAFETY: the packet is of that length, and only read.
    unsafe { bpf::call(bpf::Command::ProgramRun, &mut attributes) }?;
    Ok(ring)
}
