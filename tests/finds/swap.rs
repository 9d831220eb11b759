//! Memory that was swapped.
use std::{
    ffi::c_void,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    ptr, thread,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use rsfaas_tests::canary::places::Swap;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::{Result, find, secret};

/// Bytes of a page, and of the swap file: the kernel wants ten pages at least.
const PAGE: usize = 4096;
const SIZE: u64 = 1 << 20;
/// Bit of `/proc/PID/pagemap` for a page that is in swap (proc_pid_pagemap(5)).
const SWAPPED: u64 = 1 << 62;
/// Where the kernel keeps swapped pages in memory instead.
const ZSWAP: &str = "/sys/module/zswap/parameters/enabled";
/// For a kernel that is slow to write.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Ignored, with the reason in front of its name, where this machine swaps to no file.
pub(crate) fn trials(only_listed: bool) -> Vec<Trial> {
    let name = stringify!(a_swapped_secret_is_found_whatever_the_kernels_cache_has_of_the_file);
    if only_listed {
        return vec![Trial::test(name, || Ok(()))];
    }
    let trial = match Swapped::new() {
        Ok(swapped) => Trial::test(name, move || {
            a_swapped_secret_is_found_whatever_the_kernels_cache_has_of_the_file(&swapped)
                .map_err(Into::into)
        }),
        Err(why) => {
            let why = why.to_string();
            Trial::test(name, {
                let why = why.clone();
                || Err(why.into())
            })
            .with_kind(why)
            .with_ignored_flag(true)
        }
    };
    vec![trial]
}

/// It was written when it was made, so the cache has it as it was then.
fn a_swapped_secret_is_found_whatever_the_kernels_cache_has_of_the_file(
    swapped: &Swapped,
) -> Result {
    let start = Instant::now();
    while find(Swap, &swapped.secret)?.hit_count == 0 {
        assert!(start.elapsed() < PATIENCE, "it was not found");
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// A page of this process with a secret in it, which the kernel has swapped to a file.
struct Swapped {
    secret: String,
    page: Page,
    _file: SwapFile,
}

impl Swapped {
    fn new() -> Result<Self> {
        if fs::read_to_string(ZSWAP).is_ok_and(|text| text.starts_with('Y')) {
            return Err("zswap keeps what is swapped in memory".into());
        }
        let swapped = Self {
            _file: SwapFile::new()?,
            page: Page::new()?,
            secret: secret()?,
        };
        swapped.page.swap_out(swapped.secret.as_bytes())?;
        Ok(swapped)
    }
}

/// A file to which this machine swaps; no more when dropped.
struct SwapFile(PathBuf);

impl SwapFile {
    fn new() -> Result<Self> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("swap");
        // Without holes.
        fs::write(&path, vec![0; SIZE as usize])?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let file = Self(path);
        run(Command::new("mkswap").arg("--quiet").arg(&file.0))?;
        run(Command::new("swapon").arg(&file.0))?;
        Ok(file)
    }
}

impl Drop for SwapFile {
    fn drop(&mut self) {
        // It may not have come to be one.
        let _ = Command::new("swapoff").arg(&self.0).output();
        let _ = fs::remove_file(&self.0);
    }
}

fn run(command: &mut Command) -> Result {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().into())
}

/// A page of this process's memory.
struct Page(*mut c_void);

// SAFETY: it is memory that is this value's alone.
unsafe impl Send for Page {}
// SAFETY: nothing changes it after it was swapped.
unsafe impl Sync for Page {}

impl Page {
    fn new() -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses where.
        let page = unsafe { mmap_anonymous(ptr::null_mut(), PAGE, protection, MapFlags::PRIVATE) }?;
        Ok(Self(page))
    }

    /// Writes to it, and has the kernel swap it.
    fn swap_out(&self, text: &[u8]) -> Result {
        // SAFETY: the text is shorter than the page.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), self.0.cast(), text.len()) };
        let start = Instant::now();
        while !self.is_swapped()? {
            if start.elapsed() > PATIENCE {
                return Err("the kernel swaps nothing of this process".into());
            }
            // SAFETY: what is swapped stays as it is for whoever reads it.
            unsafe { madvise(self.0, PAGE, Advice::LinuxPageOut) }?;
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn is_swapped(&self) -> io::Result<bool> {
        let mut entry = [0; 8];
        let at = self.0.addr() / PAGE * entry.len();
        File::open("/proc/self/pagemap")?.read_exact_at(&mut entry, at as u64)?;
        Ok(u64::from_ne_bytes(entry) & SWAPPED != 0)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: nobody has it any more.
        let unmapped = unsafe { munmap(self.0, PAGE) };
        debug_assert!(unmapped.is_ok());
    }
}
