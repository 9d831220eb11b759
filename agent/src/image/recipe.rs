//! How a function's image is built, with its handler and without: from a template, or from a Dockerfile of
//! its own.
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    ImageError,
    context::Context,
    dockerfile,
    ignore::{FILE, Ignored},
    project::{self, MARKER},
};
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
        let project = tempfile::tempdir()
            .and_then(|project| {
                project::write(project.path(), stack, function)?;
                Ok(project)
            })
            .map_err(failed)?;
        let file = project.path().join("stack.yaml");
        let more = ["--shrinkwrap"];
        faas.step("build", project.path(), &file, &function.name, &more)
            .await?;
        let context = Path::new("build").join(&function.name);
        let dockerfile = project.path().join(&context).join(DOCKERFILE);
        tell_platform(&dockerfile).map_err(ImageError::context(&function.name))?;
        Ok(Self::Template { project, context })
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
        let stripped = dockerfile::with_platform(&stripped).unwrap_or(stripped);
        Ok(Self::Dockerfile { stripped })
    }

    /// The context of the base: nothing of the author's but manifests.
    pub(super) fn base(&self, function: &Function) -> Result<Context, ImageError> {
        let failed = ImageError::context(&function.name);
        match self {
            Self::Template { project, context } => {
                Context::new().folder(&project.path().join(context))
            }
            Self::Dockerfile { stripped } => Context::new()
                .file(DOCKERFILE, 0o644, stripped.as_bytes())
                .and_then(|context| {
                    manifests(context, Path::new(""), &function.handler, &|_| true)
                }),
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
            Self::Template { project, context } => {
                let context = project.path().join(context);
                let handler = handler_folder(&context)?;
                let there = context.join(&handler);
                let own = |path: &Path| {
                    path.strip_prefix(&handler).is_ok_and(|path| {
                        path == Path::new(MARKER)
                            || source.get(path).is_some()
                            || is_rewritten(&there, &function.handler, path)
                    })
                };
                let whole = sized(source).folder_without(&context, &own)?;
                // What the template leaves out is not among the author's files.
                let whole = author(whole, &handler, source, &Ignored::default(), None)?;
                manifests(whole, &handler, &function.handler, &|name| {
                    is_rewritten(&there, &function.handler, name)
                })
            }
            Self::Dockerfile { .. } => {
                let ignored = match source.get(Path::new(FILE)).map(|it| it.content) {
                    Some(Content::File(bytes)) => Ignored::parse(&String::from_utf8_lossy(bytes)),
                    _ => Ignored::default(),
                };
                let own = source.get(Path::new(DOCKERFILE)).map(|it| it.content);
                let dockerfile = match own {
                    Some(Content::File(bytes)) => {
                        dockerfile::with_platform(&String::from_utf8_lossy(bytes))
                            .map(Zeroizing::new)
                    }
                    _ => None,
                };
                let dockerfile = dockerfile.as_ref().map(|text| text.as_bytes());
                let whole = author(sized(source), Path::new(""), source, &ignored, dockerfile)?;
                manifests(whole, Path::new(""), &function.handler, &|_| true)
            }
        };
        build().map_err(ImageError::context(&function.name))
    }
}

/// A context that never moves while it is filled with a handler.
fn sized(source: &Archive) -> Context {
    Context::with_capacity(source.entries().count(), source.as_tar().len())
}

/// Has a template's Dockerfile declare the platform where it asks for it.
fn tell_platform(dockerfile: &Path) -> io::Result<()> {
    let text = String::from_utf8(fs::read(dockerfile)?);
    match text.ok().and_then(|text| dockerfile::with_platform(&text)) {
        Some(text) => fs::write(dockerfile, text),
        None => Ok(()),
    }
}

/// Adds the author's files below a folder, with another Dockerfile where there is one.
fn author(
    mut context: Context,
    below: &Path,
    source: &Archive,
    ignored: &Ignored,
    dockerfile: Option<&[u8]>,
) -> io::Result<Context> {
    for entry in source.entries() {
        // The builder needs it whatever the author's list says.
        if entry.path != Path::new(DOCKERFILE) && ignored.has(entry.path) {
            continue;
        }
        let path = below.join(entry.path);
        context = match entry.content {
            Content::File(own) if entry.path == Path::new(DOCKERFILE) => {
                context.file(&path, entry.mode, dockerfile.unwrap_or(own))?
            }
            Content::Folder => context.dir(&path, entry.mode)?,
            Content::File(bytes) => context.file(&path, entry.mode, bytes)?,
            Content::Link(target) => context.link(&path, target)?,
        };
    }
    Ok(context)
}

/// Whether a file of a handler folder is a manifest that the base has with another text. All others stay in the context
/// as they are: by the headers of the files that a step copies, their owners and rights, the builder knows whether it has
/// done the step, and so whether dependencies are installed again.
fn is_rewritten(base: &Path, handler: &Path, path: &Path) -> bool {
    is_manifest(path.as_os_str())
        && fs::read(handler.join(path))
            .is_ok_and(|own| fs::read(base.join(path)).ok().as_ref() != Some(&own))
}

/// Adds manifests of a handler folder, which are not among what is sealed.
fn manifests(
    mut context: Context,
    below: &Path,
    handler: &Path,
    which: &dyn Fn(&Path) -> bool,
) -> io::Result<Context> {
    for entry in fs::read_dir(handler)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_file() && is_manifest(&name) && which(name.as_ref()) {
            let mode = entry.metadata()?.permissions().mode() & 0o777;
            context = context.file(below.join(name), mode, &fs::read(entry.path())?)?;
        }
    }
    Ok(context)
}

/// Where the handler folder is in a template's context, by the marker.
fn handler_folder(context: &Path) -> io::Result<PathBuf> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        if context.join(&folder).join(MARKER).exists() {
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
mod tests;
