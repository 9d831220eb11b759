//! The files of an image, as one stream.
use std::{
    io::{self, Read},
    sync::mpsc,
    time::Duration,
};

use futures_util::StreamExt as _;
use hyper::body::Bytes;

use super::{Engine, ImageError};

/// Between two tries to hand a chunk to a reader that is slower than the engine.
const PAUSE: Duration = Duration::from_millis(1);

/// Has all files of an image read, as a tar archive; what is read is up to the reader.
pub(super) async fn read<T: Send + 'static>(
    engine: &Engine,
    image: &str,
    reader: impl FnOnce(Chunks) -> io::Result<T> + Send + 'static,
) -> Result<T, ImageError> {
    let container = engine.container(image).await?;
    let result = stream(engine, &container, reader).await;
    engine.remove_container(&container).await?;
    result?.map_err(|source| ImageError::Export {
        image: image.to_owned(),
        source,
    })
}

async fn stream<T: Send + 'static>(
    engine: &Engine,
    container: &str,
    reader: impl FnOnce(Chunks) -> io::Result<T> + Send + 'static,
) -> Result<io::Result<T>, ImageError> {
    let (sender, receiver) = mpsc::sync_channel(8);
    let result = tokio::task::spawn_blocking(move || reader(Chunks::new(receiver)));
    let mut stream = std::pin::pin!(engine.export(container));
    'chunks: while let Some(chunk) = stream.next().await {
        let mut chunk = chunk?;
        loop {
            match sender.try_send(chunk) {
                Ok(()) => break,
                Err(mpsc::TrySendError::Full(again)) => {
                    chunk = again;
                    tokio::time::sleep(PAUSE).await;
                }
                // It has read as far as it wants to.
                Err(mpsc::TrySendError::Disconnected(_)) => break 'chunks,
            }
        }
    }
    drop(sender);
    Ok(result.await.unwrap_or_else(|broken| Err(broken.into())))
}

/// Chunks from a channel as one reader.
pub(super) struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Chunks {
    pub(super) fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
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
