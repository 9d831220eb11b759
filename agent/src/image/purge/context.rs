//! The folder in which faas-cli puts template and handler together for a plain build, and leaves both.
use std::{fs, io, path::Path};

use super::Traces;

/// Removes the folder where it holds files of the handler, as faas-cli does itself before the next build; tells
/// whether it did.
pub(super) fn remove(folder: &Path, traces: &Traces) -> io::Result<bool> {
    match traces.search(folder) {
        Ok(search) if search.found.is_empty() => Ok(false),
        Ok(_) => fs::remove_dir_all(folder).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::archive::Survey;

    #[test]
    fn the_folder_of_a_plain_build_goes_and_others_stay() {
        let project = tempfile::tempdir().unwrap();
        let [handler, build, other] =
            ["handler", "build/f", "build/g"].map(|name| project.path().join(name));
        for (folder, text) in [
            (&handler, "the source of the handler"),
            (&build.join("function"), "the source of the handler"),
            (&other.join("function"), "what another function does"),
        ] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("handler.py"), text).unwrap();
        }
        let traces = Traces::of(&Survey::of(&handler).unwrap().read().unwrap());
        assert!(remove(&build, &traces).unwrap());
        assert!(!build.exists());
        assert!(!remove(&build, &traces).unwrap());
        assert!(!remove(&other, &traces).unwrap());
        assert!(other.exists());
    }
}
