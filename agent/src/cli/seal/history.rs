//! Repositories that handler folders lie in: what was committed there stays readable, whatever is encrypted now.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::is_plain;
use crate::stack::Function;

/// The repositories above the handler folders of functions that are yet to be encrypted, with these functions' names.
/// A handler folder that is a repository of its own is told of when it is encrypted.
pub(super) fn above(functions: &[Function]) -> BTreeMap<PathBuf, Vec<&str>> {
    let mut found = BTreeMap::<PathBuf, Vec<&str>>::new();
    for function in functions.iter().filter(|it| is_plain(it)) {
        let repository = repository(&function.handler).filter(|it| *it != function.handler);
        if let Some(folder) = repository {
            found
                .entry(folder.to_owned())
                .or_default()
                .push(&function.name);
        }
    }
    found
}

/// The folder of the repository that a folder is in; a `.git` may be a file, too.
fn repository(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|it| it.join(".git").exists())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::seal::FILE_NAME;
    use crate::stack::StackFile;

    #[test]
    fn a_repository_is_told_once_for_all_functions_that_are_yet_to_be_encrypted() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let mut stack = "provider: {name: openfaas}\nfunctions:\n".to_owned();
        for name in ["pydict", "shop", "sealed", "own"] {
            fs::create_dir_all(root.join("functions").join(name)).unwrap();
            let entry =
                format!("  {name}: {{lang: node, handler: ./functions/{name}, image: {name}}}\n");
            stack.push_str(&entry);
        }
        fs::create_dir_all(root.join("functions/own/.git")).unwrap();
        fs::write(root.join("functions/sealed").join(FILE_NAME), "").unwrap();
        fs::write(root.join("stack.yaml"), stack).unwrap();
        let stack = StackFile::read(&root.join("stack.yaml")).unwrap();
        let functions = stack.functions(None).unwrap();
        fs::write(root.join(".git"), "gitdir: /elsewhere").unwrap();
        let expected = BTreeMap::from([(root, vec!["pydict", "shop"])]);
        assert_eq!(above(&functions), expected);
    }
}
