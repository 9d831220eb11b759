//! `rsfaas open`: what a sealed file holds, for whoever has the key.
use std::{fmt::Write as _, path::PathBuf};

use super::{
    exit::{Exit, Failure},
    key_file::KeyFile,
    output,
    signals::DeferredSignals,
    target::Target,
};
use crate::seal::archive::{Archive, Content, Existing};

/// Decrypt a sealed handler, without changing it.
///
/// A handler of one file goes to standard output. Of one with several files, say which: one of them
/// (--file), their names (--list), or all of them into a folder (-o).
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    key: KeyFile,
    /// Folder to write everything to; made, for its owner only, where there is none.
    #[arg(short, long, value_name = "DIR", conflicts_with_all = ["file", "list"])]
    output: Option<PathBuf>,
    /// Overwrite files in that folder.
    #[arg(long, requires = "output")]
    force: bool,
    /// Write this one file to standard output.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// List paths instead of contents.
    #[arg(long, conflicts_with = "file")]
    list: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let found = args.target.find()?;
    let archive = found.file.open(&args.key.read()?, &found.name)?;
    if args.list {
        return output::text(&listing(&archive));
    }
    match (&args.output, &args.file) {
        (Some(folder), _) => {
            let existing = if args.force {
                Existing::Replace
            } else {
                Existing::Refuse
            };
            let _deferred = DeferredSignals::new()?;
            archive.place(folder, existing, None)?;
            tell!(
                "{} files written to {}",
                files(&archive).count(),
                folder.display()
            );
            Ok(())
        }
        (None, Some(path)) => match archive.get(path).map(|entry| entry.content) {
            Some(Content::File(bytes)) => output::secret(&[bytes]),
            _ => Err(usage(format!(
                "no file {} in it; --list shows all",
                path.display()
            ))),
        },
        (None, None) => {
            let mut files = files(&archive);
            match (files.next(), files.next()) {
                (Some(bytes), None) => output::secret(&[bytes]),
                _ => Err(usage(
                    "it holds more than one file: use -o DIR for all of them, --file PATH for \
                     one, or --list"
                        .to_owned(),
                )),
            }
        }
    }
}

fn files(archive: &Archive) -> impl Iterator<Item = &[u8]> {
    archive.entries().filter_map(|entry| match entry.content {
        Content::File(bytes) => Some(bytes),
        Content::Folder | Content::Link(_) => None,
    })
}

fn listing(archive: &Archive) -> String {
    archive.entries().fold(String::new(), |mut text, entry| {
        let path = entry.path.display();
        // Writing to a string does not fail.
        let _ = match entry.content {
            Content::Folder => writeln!(text, "{path}/"),
            Content::File(_) => writeln!(text, "{path}"),
            Content::Link(target) => writeln!(text, "{path} -> {}", target.display()),
        };
        text
    })
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}
