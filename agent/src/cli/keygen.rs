//! `rsfaas keygen`: a new key.
use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    exit::{Exit, Failure},
    output,
};
use crate::{
    memory_protection,
    seal::{archive::TEMP_PREFIX, key::Key},
};

/// Make a new key.
///
/// The key goes to a file that only you can read, or to standard output; its ID, which is no
/// secret, to standard error. Keep the key: without it, what it sealed is lost.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File to write the key to (mode 0600), instead of standard output (`-`).
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if there is one. The key in it is lost.
    #[arg(long, requires = "output")]
    force: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    // As with `--key-file -`; a file of that name is `./-`.
    let output = args.output.as_deref().filter(|path| *path != "-");
    if let Some(path) = output.filter(|_| !args.force) {
        // A friendly word before the work; what refuses in the end is how the file gets its name.
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
    }
    memory_protection::no_core_dumps();
    let key = Key::generate().map_err(|error| Failure::new(Exit::Unexpected, error))?;
    let text = key.to_text();
    let lines = [text.as_bytes(), b"\n"];
    match output {
        Some(path) => {
            write(path, &lines, args.force)?;
            tell!("key {} written to {}", key.id(), path.display());
        }
        None => {
            output::secret(&lines)?;
            tell!("key {}", key.id());
            if io::stdout().is_terminal() {
                tell!(
                    "warning: the key is on this terminal, which may keep it; with `-o FILE` it is in a file that only \
                     you can read"
                );
            }
        }
    }
    Ok(())
}

/// Writes the key file whole or not at all; without `force`, only where there is none.
fn write(path: &Path, lines: &[&[u8]], force: bool) -> Result<(), Failure> {
    let failure = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::io(path.display(), &error),
    };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(TEMP_PREFIX)
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(failure)?;
    lines
        .iter()
        .try_for_each(|line| file.write_all(line))
        .map_err(failure)?;
    file.as_file().sync_all().map_err(failure)?;
    let named = if force {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    named.map_err(|error| failure(error.error))?;
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failure)
}

fn exists(path: &Path) -> Failure {
    let message = format!(
        "{} exists already; give another file, or --force to replace it and lose its key",
        path.display()
    );
    Failure::new(Exit::Exists, message)
}
