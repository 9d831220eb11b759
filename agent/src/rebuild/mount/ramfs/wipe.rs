//! The end of a delivery: zeros over every delivered file, at the latest when the ramfs is dropped.
use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    fs::{OFlags, fstat, ftruncate},
    io::Errno,
};

use super::{MountError, Ramfs, beneath};

const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

impl Ramfs {
    /// Overwrites every delivered file with zeros and cuts it to nothing. May be called again: only what
    /// has failed is tried again.
    pub(in crate::rebuild::mount) fn wipe(&mut self) -> Result<(), MountError> {
        let mut first = Ok(());
        for path in std::mem::take(&mut self.files) {
            if let Err(source) = self
                .overwrite(&path)
                .and_then(|file| Ok(ftruncate(&file, 0)?))
            {
                first = first.and(Err(MountError::Wipe {
                    path: path.clone(),
                    source,
                }));
                self.files.push(path);
            }
        }
        first
    }

    /// Does so away from the threads that wait for packets, which many files or large ones would keep waiting. Goes
    /// on where nobody waits for it any more; the next one comes after it.
    pub(in crate::rebuild::mount) async fn wipe_aside(
        ramfs: &Arc<Mutex<Self>>,
    ) -> Result<(), MountError> {
        let ramfs = Arc::clone(ramfs);
        // What a holder of the lock that panicked did not come to is wiped when it is dropped.
        tokio::task::spawn_blocking(move || {
            ramfs.lock().unwrap_or_else(PoisonError::into_inner).wipe()
        })
        .await
        .map_err(|_| MountError::Stopped)?
    }

    fn overwrite(&self, path: &Path) -> io::Result<File> {
        let mut file = match beneath(self.mount(), path, OFlags::WRONLY) {
            Ok(file) => File::from(file),
            // Noted, but its writing failed before it was there.
            Err(Errno::NOENT) => return File::open("/dev/null"),
            Err(errno) => return Err(errno.into()),
        };
        let mut left = u64::try_from(fstat(&file)?.st_size).unwrap_or(0);
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
            file.write_all(&ZEROS[..step])?;
            left -= step as u64;
        }
        Ok(file)
    }
}

impl Drop for Ramfs {
    fn drop(&mut self) {
        // Nobody is left to hear of an error; the memory itself is freed with the last reference.
        let _ = self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{OWNER, content, delivered, file},
        *,
    };

    #[test]
    fn overwriting_leaves_zeros_of_the_same_length_behind() {
        let text = "x".repeat(ZEROS.len() + 5);
        let ramfs = delivered(&[file("secret", &text)]);
        ramfs.overwrite(Path::new("secret")).unwrap();
        assert_eq!(content(&ramfs, "secret"), "\0".repeat(text.len()));
    }

    #[test]
    fn a_wipe_empties_every_delivered_file() {
        let mut ramfs = delivered(&[file("a", "1"), file("b/c", "2")]);
        ramfs.wipe().unwrap();
        assert_eq!(content(&ramfs, "a") + &content(&ramfs, "b/c"), "");
    }

    #[test]
    fn the_thread_that_waits_for_packets_waits_for_no_wipe() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let ramfs = Arc::new(Mutex::new(delivered(&[file("a", "1")])));
        let read = || content(&ramfs.lock().unwrap(), "a");
        let (go_on, held) = std::sync::mpsc::channel::<()>();
        runtime.block_on(async {
            let before = tokio::task::spawn_blocking(move || held.recv());
            let mut wipe = std::pin::pin!(Ramfs::wipe_aside(&ramfs));
            assert!(futures_util::poll!(&mut wipe).is_pending());
            assert_eq!(read(), "1");
            drop(go_on);
            assert!(before.await.unwrap().is_err());
            wipe.await.unwrap();
        });
        assert_eq!(read(), "");
    }

    #[test]
    fn what_was_written_before_a_failure_is_wiped_all_the_same() {
        let mut ramfs = Ramfs::new().unwrap();
        let failed = ramfs.write(Path::new(""), &[file("a", "1"), file("a", "again")], OWNER);
        assert!(matches!(failed, Err(MountError::Write { .. })));
        ramfs.wipe().unwrap();
        assert_eq!(content(&ramfs, "a"), "");
    }
}
