//! The folder in which faas-cli puts template and handler together for a plain build, and leaves both.
use std::{fs, io, path::Path};

use crate::not_found::ignore_not_found;

/// Removes the folder, as faas-cli does itself before the next build, whatever version of the handler is in it;
/// tells whether it was there.
pub(super) fn remove(folder: &Path) -> io::Result<bool> {
    Ok(ignore_not_found(fs::remove_dir_all(folder))?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_plain_build_goes_with_an_earlier_version_of_the_handler_and_others_stay() {
        let project = tempfile::tempdir().unwrap();
        let [build, other] = ["build/f", "build/g"].map(|name| project.path().join(name));
        for folder in [&build, &other] {
            fs::create_dir_all(folder.join("function")).unwrap();
            let file = folder.join("function/handler.py");
            fs::write(file, "what is not the handler any more").unwrap();
        }
        assert!(remove(&build).unwrap());
        assert!(!build.exists() && other.exists());
        assert!(!remove(&build).unwrap());
    }
}
