//! What is looked at before `seal` changes anything: whether a handler folder holds more than the handler, and
//! whether folder and image are the function's alone.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    super::exit::{Classify, Exit},
    is_plain,
};
use crate::{
    image::Reference,
    stack::{Function, StackFile, is_unbuilt},
};

/// Where OpenFaaS's own providers put functions for which no namespace is named.
const DEFAULT_NAMESPACE: &str = "openfaas-fn";

/// Why a function of a stack file is not sealed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    /// Something that is needed later on would be encrypted with the handler, and removed.
    #[error(
        "function {function:?}: {what} {path} is in its handler folder {handler}, all of which is encrypted; \
         move one of them. Nothing was changed"
    )]
    Inside {
        function: String,
        what: &'static str,
        path: PathBuf,
        handler: PathBuf,
    },
    /// Another function's handler would be encrypted with it.
    #[error(
        "function {function:?}: its handler folder {handler} and that of {other:?}, {other_handler}, overlap, \
         and a folder can be sealed for one function only; give each its own. Nothing was changed"
    )]
    Folder {
        function: String,
        handler: PathBuf,
        other: String,
        other_handler: PathBuf,
    },
    /// Another function's image would be removed with it.
    #[error(
        "functions {function:?} and {other:?} have the same image, {image}, which sealing one of them removes; \
         give each its own. Nothing was changed"
    )]
    Image {
        function: String,
        other: String,
        image: String,
    },
    /// The function belongs somewhere where the agent does not look.
    #[error(
        "function {function:?}: `namespace: {namespace}` is not supported; only functions of the provider's \
         default namespace can be sealed. Nothing was changed"
    )]
    Namespace { function: String, namespace: String },
}

impl Classify for CheckError {
    fn exit(&self) -> Exit {
        Exit::Stack
    }
}

/// Looks at functions of a stack file; `key` and `state` are where the key file and the agent's folder are.
pub(super) fn check(
    stack: &StackFile,
    functions: &[Function],
    key: Option<&Path>,
    state: &Path,
) -> Result<(), CheckError> {
    let needed = needed(stack, key, state);
    for function in functions {
        let (name, handler) = (&function.name, &function.handler);
        let namespace = function.entry["namespace"].as_str().unwrap_or_default();
        if !["", DEFAULT_NAMESPACE].contains(&namespace) {
            return Err(CheckError::Namespace {
                function: name.clone(),
                namespace: namespace.to_owned(),
            });
        }
        if let Some((what, path)) = needed.iter().find(|(_, path)| path.starts_with(handler)) {
            return Err(CheckError::Inside {
                function: name.clone(),
                what,
                path: path.clone(),
                handler: handler.clone(),
            });
        }
        for (other, entry) in stack.entries().filter(|(other, _)| other != name) {
            is_apart(stack, function, other, entry)?;
        }
    }
    Ok(())
}

/// Whether no function that is deployed has the image of one that is yet to be encrypted; `deployed` has an image a
/// function. Of those that are encrypted the image stays for the other one.
pub(super) fn deployed(
    functions: &[Function],
    deployed: &BTreeMap<String, String>,
) -> Result<(), CheckError> {
    for function in functions.iter().filter(|it| is_plain(it)) {
        let image = Reference::parse(&function.image);
        let mut others = deployed.iter().filter(|(name, _)| **name != function.name);
        if let Some((other, image)) = others.find(|(_, it)| image.is_same(&Reference::parse(it))) {
            return Err(CheckError::Image {
                function: function.name.clone(),
                other: other.clone(),
                image: image.clone(),
            });
        }
    }
    Ok(())
}

/// What has to stay readable, and where it really is.
fn needed(stack: &StackFile, key: Option<&Path>, state: &Path) -> Vec<(&'static str, PathBuf)> {
    let of_entry = |entry: &Map<String, Value>| -> Vec<PathBuf> {
        let files = entry.get("environment_file").and_then(Value::as_array);
        let files = files.into_iter().flatten();
        let paths = files.filter_map(|file| Some(stack.folder().join(file.as_str()?)));
        paths.collect()
    };
    let environment = stack.entries().flat_map(|(_, entry)| of_entry(entry));
    key.map(|path| ("the key file", path.to_owned()))
        .into_iter()
        .chain([
            ("the stack file", stack.path().to_owned()),
            ("the templates' folder", stack.templates()),
            ("the agent's state folder", state.to_owned()),
        ])
        .chain(environment.map(|path| ("the environment file", path)))
        .map(|(what, path)| (what, real(&path)))
        .collect()
}

/// Whether another entry, which need not be without mistakes, has neither folder nor image in common.
fn is_apart(
    stack: &StackFile,
    function: &Function,
    other: &str,
    entry: &Map<String, Value>,
) -> Result<(), CheckError> {
    let (name, handler) = (&function.name, &function.handler);
    let text = |field| entry.get(field).and_then(Value::as_str);
    // A function that is never built has no use for its folder, whatever it names.
    if let Some(folder) = text("handler").filter(|_| !is_unbuilt(entry)) {
        let folder = real(&stack.folder().join(folder));
        if folder.starts_with(handler) || handler.starts_with(&folder) {
            return Err(CheckError::Folder {
                function: name.clone(),
                handler: handler.clone(),
                other: other.to_owned(),
                other_handler: folder,
            });
        }
    }
    if let Some(image) = text("image")
        && Reference::parse(image).is_same(&Reference::parse(&function.image))
    {
        return Err(CheckError::Image {
            function: name.clone(),
            other: other.to_owned(),
            image: image.to_owned(),
        });
    }
    Ok(())
}

/// A path without links, as far as there is something at it.
fn real(path: &Path) -> PathBuf {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = path.ancestors().find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        let there = there.canonicalize().ok()?;
        // Joining nothing would add a slash.
        Some(there.components().chain(rest.components()).collect())
    });
    found.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::seal::FILE_NAME;

    const STACK: &str = "
provider: {name: openfaas}
functions:
  pydict: {lang: python3, handler: ./pydict, image: r/pydict}
  shop: {lang: python3, handler: ./shop, image: r/shop}
";

    /// A project with that stack file, changed as told: all of it is checked, with the key and the state there.
    fn checked(from: &str, to: &str, key: &str, state: &str) -> Result<(), String> {
        let project = tempfile::tempdir().unwrap();
        let root = project.path();
        for folder in ["pydict/inner", "shop", "elsewhere"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["pydict/a.key", "a.key"] {
            fs::write(root.join(file), "").unwrap();
        }
        symlink("pydict/a.key", root.join("link.key")).unwrap();
        symlink("pydict", root.join("link")).unwrap();
        let file = root.join("stack.yaml");
        fs::write(&file, STACK.replace(from, to)).unwrap();
        let stack = StackFile::read(&file).unwrap();
        let functions = stack.functions(Some("pydict")).unwrap();
        let key = root.join(key);
        check(&stack, &functions, Some(&key), &root.join(state)).map_err(|error| error.to_string())
    }

    fn refused(from: &str, to: &str) -> String {
        checked(from, to, "a.key", "state").unwrap_err()
    }

    #[test]
    fn a_project_with_everything_in_its_place_is_well() {
        checked("", "", "a.key", "state/of/later").unwrap();
    }

    #[test]
    fn a_key_or_state_folder_that_would_be_encrypted_is_refused() {
        for key in ["pydict/a.key", "link.key"] {
            let error = checked("", "", key, "state").unwrap_err();
            assert!(
                error.contains("the key file") && error.contains("/pydict/a.key is in"),
                "{error}"
            );
        }
        let error = checked("", "", "a.key", "link/state").unwrap_err();
        assert!(error.contains("the agent's state folder"), "{error}");
    }

    #[test]
    fn a_stack_or_environment_file_that_would_be_encrypted_is_refused() {
        let error = checked("./pydict", "./", "/nonexistent/key", "/nonexistent").unwrap_err();
        assert!(error.contains("the stack file"), "{error}");
        for entry in ["r/pydict", "r/shop"] {
            let with_file = format!("{entry}, environment_file: [link/env.yml]");
            let error = refused(entry, &with_file);
            assert!(error.contains("/pydict/env.yml is in"), "{error}");
        }
    }

    #[test]
    fn functions_that_share_a_folder_or_an_image_are_refused() {
        for other in ["./link", "./pydict/inner"] {
            let error = refused("./shop", other);
            assert!(error.contains("overlap"), "{error}");
        }
        let error = refused("r/shop", "r/pydict:latest");
        assert!(error.contains("the same image"), "{error}");
        checked("r/shop", "r/pydict:2", "a.key", "state").unwrap();
    }

    #[test]
    fn a_function_whose_image_is_deployed_as_another_one_is_refused_while_it_is_plain() {
        let project = tempfile::tempdir().unwrap();
        for folder in ["pydict", "shop"] {
            fs::create_dir(project.path().join(folder)).unwrap();
        }
        let file = project.path().join("stack.yaml");
        fs::write(&file, STACK).unwrap();
        let functions = StackFile::read(&file).unwrap().functions(None).unwrap();
        let checked = |name: &str, image: &str| {
            let images = BTreeMap::from([(name.to_owned(), image.to_owned())]);
            deployed(&functions, &images).map_err(|error| error.to_string())
        };
        checked("pydict", "r/pydict:latest").unwrap();
        checked("other", "r/pydict:2").unwrap();
        let error = checked("other", "docker.io/r/pydict").unwrap_err();
        assert!(error.contains("\"other\" have the same image"), "{error}");
        fs::write(project.path().join("pydict").join(FILE_NAME), "").unwrap();
        checked("other", "r/pydict").unwrap();
    }

    #[test]
    fn another_function_with_mistakes_is_compared_and_stops_nothing() {
        checked("r/shop", "$R/shop", "a.key", "state").unwrap();
        let error = refused("./shop, image: r/shop", "./pydict, image: $R/shop");
        assert!(error.contains("overlap"), "{error}");
        checked("./shop", "./, skip_build: true", "a.key", "state").unwrap();
    }

    #[test]
    fn a_namespace_is_refused() {
        let error = refused("r/pydict", "r/pydict, namespace: staging");
        assert!(error.contains("`namespace: staging`"), "{error}");
        for default in ["''", "openfaas-fn"] {
            let entry = format!("r/pydict, namespace: {default}");
            checked("r/pydict", &entry, "a.key", "state").unwrap();
        }
    }
}
