//! The project that a base image is built from: one function, without its handler.
use std::{fs, io, path::Path};

use serde_json::Value;

use crate::{
    seal::archive::is_manifest,
    stack::{Function, StackFile},
};

/// Name of the file that tells where a template puts the handler folder. It is the same each time: by it and the manifests
/// the builder knows whether it has done a step, and so whether functions have their base in common.
pub(super) const MARKER: &str = ".rsfaas-handler";

/// A project of the one function, whose handler folder has manifests and the marker only.
pub(super) fn write(project: &Path, stack: &StackFile, function: &Function) -> io::Result<()> {
    let handler = project.join("handler");
    fs::create_dir(&handler)?;
    for entry in fs::read_dir(&function.handler)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && is_manifest(&entry.file_name()) {
            let text = fs::read(entry.path())?;
            let text = if entry.file_name() == "package.json" {
                without_tests(text)
            } else {
                text
            };
            let copy = handler.join(entry.file_name());
            fs::write(&copy, text)?;
            fs::set_permissions(copy, entry.metadata()?.permissions())?;
        }
    }
    fs::write(handler.join(MARKER), "")?;
    std::os::unix::fs::symlink(stack.templates(), project.join("template"))?;
    let text = format!(
        "version: 1.0\nprovider:\n  name: openfaas\nfunctions:\n  {}:\n    lang: {}\n    handler: \
         ./handler\n    image: {}\n",
        function.name, function.lang, function.image
    );
    fs::write(project.join("stack.yaml"), text)
}

/// A `package.json` whose tests pass: templates run `npm test` while they build, and without the handler
/// it could only fail. Its fields keep their order, by which Node.js decides in `exports` and `imports`. One that is not understood stays as it is, for npm to complain about.
fn without_tests(text: Vec<u8>) -> Vec<u8> {
    let Ok(Value::Object(mut package)) = serde_json::from_slice(&text) else {
        return text;
    };
    let Some(scripts) = package.get_mut("scripts").and_then(Value::as_object_mut) else {
        return text;
    };
    scripts.retain(|name, _| !["pretest", "posttest"].contains(&name.as_str()));
    if let Some(test) = scripts.get_mut("test") {
        *test = "exit 0".into();
    }
    serde_json::to_vec(&package).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_manifests_and_the_marker_take_part_in_the_base() {
        let (folder, project) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let handler = folder.path().join("pydict");
        fs::create_dir(&handler).unwrap();
        for name in ["handler.py", "requirements.txt", "secret.json"] {
            fs::write(handler.join(name), "x").unwrap();
        }
        let [manifest, copy] = [&handler, &project.path().join("handler")]
            .map(|folder| folder.join("requirements.txt"));
        fs::set_permissions(&manifest, fs::Permissions::from_mode(0o606)).unwrap();
        let path = folder.path().join("stack.yaml");
        let text = "provider: {name: openfaas}\nfunctions:\n  pydict: {lang: python3, handler: \
                    ./pydict, image: i}\n";
        fs::write(&path, text).unwrap();
        let stack = StackFile::read(&path).unwrap();
        let function = stack.functions(None).unwrap().remove(0);
        write(project.path(), &stack, &function).unwrap();
        let mut names: Vec<_> = fs::read_dir(project.path().join("handler"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [MARKER, "requirements.txt"]);
        let mode = fs::metadata(copy).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o606);
    }

    #[test]
    fn tests_of_a_node_handler_do_not_run_without_it() {
        let text = br#"{"name":"f","scripts":{"pretest":"lint","test":"jest","build":"tsc"}}"#;
        let package: Value = serde_json::from_slice(&without_tests(text.to_vec())).unwrap();
        assert_eq!(
            package,
            serde_json::json!({"name": "f", "scripts": {"test": "exit 0", "build": "tsc"}})
        );
        let text = r#"{"scripts":{},"exports":{"node":"./n.js","import":"./i.js","default":"./d.js"},"name":"f"}"#;
        assert_eq!(without_tests(text.into()), text.as_bytes(), "in its order");
        for other in [r#"{"name":"f"}"#, "[]", "no JSON"] {
            assert_eq!(without_tests(other.into()), other.as_bytes());
        }
    }
}
