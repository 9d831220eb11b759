//! Finds the handler folder in an image that a template built: wherever a marker file that was in the
//! author's folder went.
use std::{
    io::{self, Read},
    path::PathBuf,
    sync::mpsc,
};

use futures_util::StreamExt as _;
use hyper::body::Bytes;

use super::{Engine, ImageError};

/// The folder with the marker, absolute; `None` where the image does not have it.
pub(super) async fn find(
    engine: &Engine,
    image: &str,
    marker: &str,
) -> Result<Option<PathBuf>, ImageError> {
    let container = engine.container(image).await?;
    let found = search(engine, &container, marker).await;
    engine.remove_container(&container).await?;
    found
}

async fn search(
    engine: &Engine,
    container: &str,
    marker: &str,
) -> Result<Option<PathBuf>, ImageError> {
    let (sender, receiver) = mpsc::sync_channel(8);
    let marker = marker.to_owned();
    let scan = tokio::task::spawn_blocking(move || scan(Chunks::new(receiver), &marker));
    let mut stream = std::pin::pin!(engine.export(container));
    while let Some(chunk) = stream.next().await {
        let mut chunk = Some(chunk?);
        // Full: the scanner is slower than the engine. Closed: it has found what it looks for.
        loop {
            let Some(bytes) = chunk.take() else { break };
            match sender.try_send(bytes) {
                Ok(()) => break,
                Err(mpsc::TrySendError::Full(bytes)) => {
                    chunk = Some(bytes);
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                Err(mpsc::TrySendError::Disconnected(_)) => {
                    return Ok(scan.await.ok().and_then(Result::ok).flatten());
                }
            }
        }
    }
    drop(sender);
    Ok(scan.await.ok().and_then(Result::ok).flatten())
}

/// Reads an archive up to the marker.
fn scan(archive: impl Read, marker: &str) -> io::Result<Option<PathBuf>> {
    for entry in tar::Archive::new(archive).entries()? {
        let path = entry?.path()?.into_owned();
        if path.file_name().is_some_and(|name| name == marker) {
            return Ok(path.parent().map(|folder| PathBuf::from("/").join(folder)));
        }
    }
    Ok(None)
}

/// Chunks from a channel as one reader.
struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Chunks {
    fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self {
            receiver,
            current: Bytes::new(),
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.recv() {
                Ok(chunk) => self.current = chunk,
                // The sender is gone: the archive has ended.
                Err(mpsc::RecvError) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_the_marker_is_found_whatever_the_chunks() {
        let mut builder = tar::Builder::new(Vec::new());
        for path in ["etc/passwd", "home/app/function/.marker", "usr/x"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            builder
                .append_data(&mut header, path, b"abc".as_slice())
                .unwrap();
        }
        let archive = builder.into_inner().unwrap();
        for size in [1, 511, 512, 10_000] {
            let (sender, receiver) = mpsc::channel();
            for chunk in archive.chunks(size) {
                sender.send(Bytes::copy_from_slice(chunk)).unwrap();
            }
            drop(sender);
            let found = scan(Chunks::new(receiver), ".marker").unwrap();
            assert_eq!(found, Some("/home/app/function".into()));
        }
        assert_eq!(scan(archive.as_slice(), ".other").unwrap(), None);
    }
}
