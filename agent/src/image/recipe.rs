//! How a function's image is built, with its handler and without: from a template, or from a Dockerfile of
//! its own.
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{ImageError, context::Context, dockerfile, ignore::Ignored, project};
use crate::{
    openfaas::FaasCli,
    seal::archive::{Archive, Content, is_manifest},
    stack::{Function, StackFile},
};

const DOCKERFILE: &str = "Dockerfile";

/// The way to both build contexts.
pub(super) enum Recipe {
    /// A template's folder, into which the handler folder is put.
    Template {
        /// A project whose handler folder has manifests and the marker alone.
        project: tempfile::TempDir,
        /// The context that faas-cli has made in it.
        context: PathBuf,
        /// Name of the marker file.
        marker: String,
    },
    /// The handler folder itself is the context.
    Dockerfile {
        /// The Dockerfile without what needs the author's files.
        stripped: String,
    },
}

impl Recipe {
    /// Has faas-cli put the template's context together, without a handler.
    pub(super) async fn of_template(
        faas: &FaasCli,
        stack: &StackFile,
        function: &Function,
    ) -> Result<Self, ImageError> {
        let failed = ImageError::context(&function.name);
        let (project, marker) = tempfile::tempdir()
            .and_then(|project| Ok((project, project::marker()?)))
            .and_then(|(project, marker)| {
                project::write(project.path(), stack, function, &marker)?;
                Ok((project, marker))
            })
            .map_err(failed)?;
        let file = project.path().join("stack.yaml");
        let more = ["--shrinkwrap"];
        faas.step("build", project.path(), &file, &function.name, &more)
            .await?;
        let context = Path::new("build").join(&function.name);
        Ok(Self::Template {
            project,
            context,
            marker,
        })
    }

    /// Reads the author's Dockerfile.
    pub(super) fn of_dockerfile(function: &Function, source: &Archive) -> Result<Self, ImageError> {
        let refuse = |why: String| ImageError::Unparkable {
            function: function.name.clone(),
            why,
        };
        let text = match source.get(Path::new(DOCKERFILE)).map(|it| it.content) {
            Some(Content::File(bytes)) => String::from_utf8_lossy(bytes),
            _ => return Err(refuse("its handler folder has no Dockerfile".to_owned())),
        };
        // Manifests are not among them.
        let own = source.entries().map(|entry| entry.path);
        let own = own.filter(|path| path.components().count() == 1);
        let own: Vec<_> = own.filter_map(Path::file_name).collect();
        let stripped = dockerfile::strip(&text, &own)
            .map_err(|error| refuse(format!("its Dockerfile cannot be taken apart: {error}")))?;
        Ok(Self::Dockerfile { stripped })
    }

    /// The context of the base: nothing of the author's but manifests.
    pub(super) fn base(&self, function: &Function) -> Result<Context, ImageError> {
        let failed = ImageError::context(&function.name);
        match self {
            Self::Template {
                project, context, ..
            } => Context::new().folder(&project.path().join(context)),
            Self::Dockerfile { stripped } => Context::new()
                .file(DOCKERFILE, 0o644, stripped.as_bytes())
                .and_then(|context| manifests(context, Path::new(""), &function.handler)),
        }
        .map_err(failed)
    }

    /// The context with the author's files, which exist in memory only.
    pub(super) fn whole(
        &self,
        function: &Function,
        source: &Archive,
    ) -> Result<Context, ImageError> {
        let build = || match self {
            Self::Template {
                project,
                context,
                marker,
            } => {
                let context = project.path().join(context);
                let handler = handler_folder(&context, marker)?;
                let own = |path: &Path| {
                    path.strip_prefix(&handler).is_ok_and(|path| {
                        path == Path::new(marker)
                            || source.get(path).is_some()
                            || path.file_name().is_some_and(is_manifest)
                                && function.handler.join(path).exists()
                    })
                };
                let whole = sized(source).folder_without(&context, &own)?;
                let whole = author(whole, &handler, source, &Ignored::default())?;
                manifests(whole, &handler, &function.handler)
            }
            Self::Dockerfile { .. } => {
                let ignored = match source.get(Path::new(".dockerignore")).map(|it| it.content) {
                    Some(Content::File(bytes)) => Ignored::parse(&String::from_utf8_lossy(bytes)),
                    _ => Ignored::default(),
                };
                let whole = author(sized(source), Path::new(""), source, &ignored)?;
                manifests(whole, Path::new(""), &function.handler)
            }
        };
        build().map_err(ImageError::context(&function.name))
    }
}

/// A context that never moves while it is filled with a handler.
fn sized(source: &Archive) -> Context {
    Context::with_capacity(source.entries().count(), source.as_tar().len())
}

/// Adds the author's files below a folder.
fn author(
    mut context: Context,
    below: &Path,
    source: &Archive,
    ignored: &Ignored,
) -> io::Result<Context> {
    for entry in source.entries() {
        // The builder needs it whatever the author's list says.
        if entry.path != Path::new(DOCKERFILE) && ignored.has(entry.path) {
            continue;
        }
        let path = below.join(entry.path);
        context = match entry.content {
            Content::Folder => context.dir(&path, entry.mode)?,
            Content::File(bytes) => context.file(&path, entry.mode, bytes)?,
            Content::Link(target) => context.link(&path, target)?,
        };
    }
    Ok(context)
}

/// Adds the manifests of a handler folder, which are not among what is sealed.
fn manifests(mut context: Context, below: &Path, handler: &Path) -> io::Result<Context> {
    for entry in fs::read_dir(handler)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && is_manifest(&entry.file_name()) {
            let mode = entry.metadata()?.permissions().mode() & 0o777;
            let path = below.join(entry.file_name());
            context = context.file(path, mode, &fs::read(entry.path())?)?;
        }
    }
    Ok(context)
}

/// Where the handler folder is in a template's context, by the marker.
fn handler_folder(context: &Path, marker: &str) -> io::Result<PathBuf> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        if context.join(&folder).join(marker).exists() {
            return Ok(folder);
        }
        for entry in fs::read_dir(context.join(&folder))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(folder.join(entry.file_name()));
            }
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        "faas-cli has put the handler folder nowhere",
    ))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use super::*;
    use crate::seal::archive::Survey;

    fn function(handler: &Path) -> Function {
        Function {
            name: "f".into(),
            lang: "golang-middleware".into(),
            handler: handler.to_owned(),
            image: "r/f:1".into(),
            build_args: BTreeMap::new(),
            build_options: Vec::new(),
            entry: serde_json::Value::Null,
        }
    }

    fn handler(files: &[(&str, &str)]) -> (tempfile::TempDir, Function, Archive) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let source = Survey::of(folder.path()).unwrap().read().unwrap();
        let function = function(folder.path());
        (folder, function, source)
    }

    fn files(context: Context) -> BTreeMap<String, String> {
        let bytes = context.finish().unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (path.trim_start_matches("./").to_owned(), text)
        });
        entries.filter(|(_, text)| !text.is_empty()).collect()
    }

    #[test]
    fn a_template_gets_the_authors_files_in_place_of_its_stub() {
        let (_folder, function, source) = handler(&[
            ("handler.go", "author"),
            ("go.mod", "author's"),
            ("shop/shop.go", "more"),
        ]);
        let project = tempfile::tempdir().unwrap();
        let context = project.path().join("build");
        fs::create_dir_all(context.join("function")).unwrap();
        for (path, text) in [
            ("Dockerfile", "FROM x"),
            ("main.go", "main"),
            ("function/handler.go", "stub"),
            ("function/go.mod", "author's"),
            ("function/kept.go", "kept"),
            ("function/.marker", "x"),
        ] {
            fs::write(context.join(path), text).unwrap();
        }
        let recipe = Recipe::Template {
            project,
            context: "build".into(),
            marker: ".marker".into(),
        };
        let base = files(recipe.base(&function).unwrap());
        assert!(base.values().all(|text| text != "author" && text != "more"));
        let whole = files(recipe.whole(&function, &source).unwrap());
        let expected = [
            ("Dockerfile", "FROM x"),
            ("function/go.mod", "author's"),
            ("function/handler.go", "author"),
            ("function/kept.go", "kept"),
            ("function/shop/shop.go", "more"),
            ("main.go", "main"),
        ];
        let expected = expected.map(|(path, text)| (path.to_owned(), text.to_owned()));
        assert_eq!(whole, BTreeMap::from(expected));
    }

    #[test]
    fn the_base_of_a_dockerfile_has_manifests_alone() {
        let (_folder, function, source) = handler(&[
            (DOCKERFILE, "FROM x\nCOPY . .\nCMD [\"y\"]\n"),
            ("server.py", "author"),
            ("notes.txt", "private"),
            ("requirements.txt", "flask"),
            (".dockerignore", "*.txt\n"),
        ]);
        let recipe = Recipe::of_dockerfile(&function, &source).unwrap();
        let base = files(recipe.base(&function).unwrap());
        assert_eq!(base[DOCKERFILE], "FROM x\nCMD [\"y\"]\n");
        assert_eq!(
            base.keys().collect::<Vec<_>>(),
            [DOCKERFILE, "requirements.txt"]
        );
        let whole = files(recipe.whole(&function, &source).unwrap());
        assert_eq!(whole["server.py"], "author");
        assert!(!whole.contains_key("notes.txt"));
    }

    #[test]
    fn a_folder_without_a_dockerfile_is_refused() {
        let (_folder, function, source) = handler(&[("server.py", "author")]);
        let error = Recipe::of_dockerfile(&function, &source).err().unwrap();
        assert!(error.to_string().contains("no Dockerfile"), "{error}");
    }
}
