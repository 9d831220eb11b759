//! Finds the handler folder in an image that a template built: wherever a marker file that was in the
//! author's folder went.
use std::{
    io::{self, Read},
    path::PathBuf,
};

use super::{Engine, ImageError, export, project::MARKER};

/// The folder with the marker, absolute; `None` where the image does not have it.
pub(super) async fn find(engine: &Engine, image: &str) -> Result<Option<PathBuf>, ImageError> {
    export::read(engine, image, scan).await
}

/// Reads an archive up to the marker.
fn scan(archive: impl Read) -> io::Result<Option<PathBuf>> {
    for entry in tar::Archive::new(archive).entries()? {
        let path = entry?.path()?.into_owned();
        if path.file_name().is_some_and(|name| name == MARKER) {
            return Ok(path.parent().map(|folder| PathBuf::from("/").join(folder)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use hyper::body::Bytes;

    use super::{super::export::Chunks, *};

    #[test]
    fn the_folder_of_the_marker_is_found_whatever_the_chunks() {
        let mut builder = tar::Builder::new(Vec::new());
        for path in ["etc/passwd", "home/app/function/.rsfaas-handler", "usr/x"] {
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
            let found = scan(Chunks::new(receiver)).unwrap();
            assert_eq!(found, Some("/home/app/function".into()));
        }
        let mut others = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        others
            .append_data(&mut header, "etc/passwd", io::empty())
            .unwrap();
        let others = others.into_inner().unwrap();
        assert_eq!(scan(others.as_slice()).unwrap(), None);
    }
}
