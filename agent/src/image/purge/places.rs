//! Whose a file in the engine's folder is, by its path.
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use crate::image::engine::{IN_FOLDERS, Image};

/// The files that may be the builder's: in no layer of an image that has a name, with which they go and with nothing else,
/// and in no volume.
pub(super) fn loose<'a>(
    found: &'a [PathBuf],
    images: &[(Image, HashSet<String>)],
) -> Vec<&'a PathBuf> {
    let named = |layer: &String| {
        let mut images = images.iter();
        images.any(|(image, folders)| !image.tags.is_empty() && folders.contains(layer))
    };
    let is_loose =
        |path: &&PathBuf| !layer_of(path).as_ref().is_some_and(named) && volume_of(path).is_none();
    found.iter().filter(is_loose).collect()
}

/// The folder of the layer that a file is in, by the name that the engine's storage gives it.
pub(super) fn layer_of(path: &Path) -> Option<String> {
    let mut parts = path.components().map(std::path::Component::as_os_str);
    parts.find(|part| IN_FOLDERS.iter().any(|driver| driver == part))?;
    let next = parts.next()?;
    let name = if next == "dir" { parts.next()? } else { next };
    Some(name.to_string_lossy().into_owned())
}

/// The volume that a file is in: `volumes/NAME/_data/...` in the engine's folder.
pub(super) fn volume_of(path: &Path) -> Option<String> {
    let parts: Vec<_> = path.iter().collect();
    let volume = parts
        .windows(3)
        .find(|part| part[0] == "volumes" && part[2] == "_data")?;
    Some(volume[1].to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 3] = [
        "/var/lib/docker/overlay2/abc/diff/home/app/handler",
        "/var/lib/docker/vfs/dir/def/app",
        "/var/lib/docker/tmp/x",
    ];
    const IN_A_VOLUME: &str = "/var/lib/docker/volumes/ghi/_data/handler.py";

    #[test]
    fn layers_are_known_by_their_folders() {
        let layers = PATHS.map(|path| layer_of(Path::new(path)));
        assert_eq!(
            layers,
            [Some("abc".to_owned()), Some("def".to_owned()), None]
        );
        let rootless = "/home/u/.local/share/docker/fuse-overlayfs/abc/diff/home/app/handler";
        assert_eq!(layer_of(Path::new(rootless)).as_deref(), Some("abc"));
    }

    #[test]
    fn volumes_are_known_by_their_folders() {
        assert_eq!(volume_of(Path::new(IN_A_VOLUME)).as_deref(), Some("ghi"));
        assert!(
            PATHS
                .iter()
                .all(|path| volume_of(Path::new(path)).is_none())
        );
    }

    #[test]
    fn what_an_image_with_a_name_has_is_not_waited_for_while_the_cache_is_pruned() {
        let image = |tags: &[&str], layer: &str| {
            let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
            let image = Image {
                id: "sha256:0".to_owned(),
                tags,
            };
            (image, HashSet::from([layer.to_owned()]))
        };
        let images = [image(&["r/other:1"], "abc"), image(&[], "def")];
        let mut found = PATHS.map(PathBuf::from).to_vec();
        found.push(IN_A_VOLUME.into());
        assert_eq!(loose(&found, &images), [&found[1], &found[2]]);
    }
}
