//! What a build has made of a handler, apart from the image that it is delivered into.
//!
//! Folders that the base image has not are delivered whole, single files over their own places: so the
//! folders that the base has stay what they are, writable where they were. The places themselves, links and
//! folders are no secret and become a layer of the base.
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use super::difference::{Content, Difference, Kind, Node, Tree};
use crate::seal::archive::{Built, BuiltFile};

/// So many places a container may have; each is a mount.
const MAX_PLACES: usize = 512;
/// From so many files of one folder on they come with the folder, where it holds nothing else.
const MANY: usize = 32;

/// Separates the secret from the layer that makes room for it.
pub(super) fn separate(base: &Tree, difference: Difference) -> Result<(Built, Layer), String> {
    if let Some(refused) = difference.refused {
        return Err(refused);
    }
    if difference.secret.is_empty() {
        return Err("the image holds nothing of the handler".to_owned());
    }
    let places = places(base, &difference);
    if places.len() > MAX_PLACES {
        return Err(format!(
            "the handler's files lie at {} places of the image; at most {MAX_PLACES} can be served. Copy \
             them into folders of their own",
            places.len()
        ));
    }
    let mut layer = Layer {
        nodes: difference.frame,
        files: difference.changed,
    };
    for place in &places {
        // The file itself is missing where it is new: something has to be there for the mount.
        if let Some(secret) = difference.secret.get(place)
            && !base.0.contains_key(place)
        {
            layer.nodes.insert(place.clone(), secret.node.clone());
        }
    }
    let files = difference
        .secret
        .into_iter()
        .map(|(path, content)| BuiltFile {
            path,
            mode: content.node.mode,
            content: content.bytes,
        });
    let files = files.collect();
    Ok((Built { files, places }, layer))
}

/// Where the secret files are delivered, in order of their paths.
fn places(base: &Tree, difference: &Difference) -> Vec<PathBuf> {
    let mut crowd = BTreeMap::<&Path, usize>::new();
    for folder in difference.secret.keys().filter_map(|path| path.parent()) {
        *crowd.entry(folder).or_default() += 1;
    }
    // Folders with something in them that is no secret: they are not covered.
    let mut mixed = BTreeSet::<&Path>::new();
    let open = base
        .0
        .iter()
        .filter(|(path, node)| node.kind != Kind::Folder && !difference.secret.contains_key(*path))
        .map(|(path, _)| path);
    for path in open.chain(difference.changed.keys()) {
        mixed.extend(path.ancestors().skip(1));
    }
    let is_whole = |folder: &Path| {
        let new = !base.0.contains_key(folder);
        let crowded = crowd.get(folder).is_some_and(|&files| files >= MANY);
        let shared = base
            .0
            .get(folder)
            .is_some_and(|node| node.mode & 0o002 != 0);
        folder != Path::new("/") && !mixed.contains(folder) && (new || crowded && !shared)
    };
    let places: BTreeSet<PathBuf> = difference
        .secret
        .keys()
        .map(|file| {
            let whole = file.ancestors().skip(1).filter(|folder| is_whole(folder));
            whole.last().unwrap_or(file).to_owned()
        })
        .collect();
    places.into_iter().collect()
}

/// What the base image needs beside its own files. Nothing of it is secret.
pub(super) struct Layer {
    nodes: BTreeMap<PathBuf, Node>,
    files: BTreeMap<PathBuf, Content>,
}

impl Layer {
    /// The layer as an archive that keeps owners; `None` where nothing is needed.
    pub(super) fn tar(&self) -> io::Result<Option<Vec<u8>>> {
        if self.nodes.is_empty() && self.files.is_empty() {
            return Ok(None);
        }
        let mut builder = tar::Builder::new(Vec::new());
        for (path, node) in &self.nodes {
            append(&mut builder, path, node, &[])?;
        }
        for (path, content) in &self.files {
            append(&mut builder, path, &content.node, &content.bytes)?;
        }
        builder.into_inner().map(Some)
    }
}

fn append(
    builder: &mut tar::Builder<Vec<u8>>,
    path: &Path,
    node: &Node,
    content: &[u8],
) -> io::Result<()> {
    let Ok(path) = path.strip_prefix("/") else {
        return Ok(());
    };
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let mut header = tar::Header::new_gnu();
    header.set_mode(node.mode);
    header.set_uid(node.user);
    header.set_gid(node.group);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    match &node.kind {
        Kind::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, path, io::empty())
        }
        Kind::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, path, target)
        }
        Kind::File(_) | Kind::Other => builder.append_data(&mut header, path, content),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::difference::tests::{FILE, FOLDER, Made, difference, image},
        *,
    };

    fn separated(base: &[Made<'_>], all: &[Made<'_>]) -> Result<(Built, Layer), String> {
        let tree = Tree::read(image(base).as_slice()).unwrap();
        separate(&tree, difference(base, all))
    }

    fn places(base: &[Made<'_>], all: &[Made<'_>]) -> Vec<String> {
        let (built, _) = separated(base, all).unwrap();
        let places = built.places.iter();
        places.map(|path| path.display().to_string()).collect()
    }

    const BASE: [Made<'_>; 4] = [
        ("app/", FOLDER, 0o755, ""),
        ("app/fwatchdog", FILE, 0o755, "watchdog"),
        ("app/handler", FILE, 0o755, "stub"),
        ("tmp/", FOLDER, 0o1777, ""),
    ];

    #[test]
    fn new_folders_come_whole_and_files_over_their_own_places() {
        let all = [
            BASE[0],
            BASE[1],
            ("app/handler", FILE, 0o755, "program"),
            ("app/static/", FOLDER, 0o755, ""),
            ("app/static/a.html", FILE, 0o644, "a"),
            ("app/static/deep/", FOLDER, 0o755, ""),
            ("app/static/deep/b.html", FILE, 0o644, "b"),
            ("app/words", FILE, 0o644, "w"),
        ];
        assert_eq!(
            places(&BASE, &all),
            ["/app/handler", "/app/static", "/app/words"]
        );
    }

    #[test]
    fn the_layer_has_room_for_new_files_and_nothing_of_their_content() {
        let all = [
            BASE[0],
            BASE[1],
            ("app/new", FILE, 0o640, "secret-content"),
            ("app/static/", FOLDER, 0o755, ""),
            ("app/static/a", FILE, 0o644, "secret-content"),
        ];
        let (_, layer) = separated(&BASE, &all).unwrap();
        let tar = layer.tar().unwrap().unwrap();
        let tree = Tree::read(tar.as_slice()).unwrap();
        let names: Vec<_> = tree.0.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(names, ["/app/new", "/app/static"]);
        assert!(!String::from_utf8_lossy(&tar).contains("secret-content"));
    }

    #[test]
    fn a_folder_of_the_base_is_covered_only_when_it_is_crowded_and_holds_nothing_else() {
        let names: Vec<String> = (0..MANY).map(|number| format!("src/{number}")).collect();
        let mut all: Vec<Made<'_>> = names
            .iter()
            .map(|name| (name.as_str(), FILE, 0o644, "x"))
            .collect();
        let empty = [("src/", FOLDER, 0o755, "")];
        assert_eq!(places(&empty, &all), ["/src"]);
        let shared = [("src/", FOLDER, 0o777, "")];
        assert_eq!(places(&shared, &all).len(), MANY);
        let mixed = [empty[0], ("src/kept", FILE, 0o644, "base")];
        all.push(mixed[1]);
        assert_eq!(places(&mixed, &all).len(), MANY);
    }

    #[test]
    fn an_image_without_anything_of_the_handler_is_refused() {
        assert!(
            separated(&BASE, &BASE)
                .err()
                .unwrap()
                .contains("nothing of the handler")
        );
    }
}
