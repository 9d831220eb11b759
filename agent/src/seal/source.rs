//! Where a key is read from: a file or standard input, never an argument.
use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::{
        fd::AsFd as _,
        unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    },
    path::PathBuf,
    str::FromStr,
};

use zeroize::Zeroizing;

use super::key::{Key, KeyError, PREFIX};

/// More than a key file ever holds: what is longer is not a key file.
const LIMIT: usize = 1024;

/// Bytes that no file's name has that starts as keys do: with a slip of the pen in it a key is still a secret.
const KEY_LIKE: usize = 40;

/// A key file, or standard input (`-`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// A key that was read, and what is to be said about its file.
pub struct ReadKey {
    /// The key.
    pub key: Key,
    /// The file's mode, where others than its owner may read it.
    pub exposed: Option<u32>,
}

/// Why no key could be read; names the source, never its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyReadError {
    /// The source cannot be read.
    #[error("cannot read the key from {from}")]
    Io {
        /// The file or standard input.
        from: KeySource,
        /// What the system said.
        source: io::Error,
    },
    /// The argument is a key, not where to find one.
    #[error(
        "--key-file takes a file, not a key; others on this host can see arguments, so consider \
         making a new key"
    )]
    KeyInsteadOfFile,
    /// The source holds more than a key.
    #[error("{from} holds more than {LIMIT} bytes; that is not a key file")]
    TooLong {
        /// The file or standard input.
        from: KeySource,
    },
    /// The source holds something else.
    #[error("no usable key in {from}")]
    Key {
        /// The file or standard input.
        from: KeySource,
        /// What is wrong with the text.
        source: KeyError,
    },
}

impl KeySource {
    /// Reads the key.
    ///
    /// # Errors
    /// When the source cannot be read, is too long, or holds no key.
    pub fn read(&self) -> Result<ReadKey, KeyReadError> {
        // Before the path can get into a message.
        if let Self::File(path) = self
            && is_like_key(path.as_os_str().as_bytes())
        {
            return Err(KeyReadError::KeyInsteadOfFile);
        }
        let io = |source| KeyReadError::Io {
            from: self.clone(),
            source,
        };
        let file = match self {
            // Not through std's handle: its buffer would keep the key for the process's life.
            Self::Stdin => io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .map(File::from)
                .map_err(io)?,
            Self::File(path) => File::open(path).map_err(io)?,
        };
        let status = file.metadata().map_err(io)?;
        let mode = status.permissions().mode() & 0o777;
        let exposed = (status.is_file() && mode & 0o077 != 0).then_some(mode);
        let mut buffer = Zeroizing::new(vec![0; LIMIT + 1]);
        let length = fill(file, &mut buffer).map_err(io)?;
        if length > LIMIT {
            return Err(KeyReadError::TooLong { from: self.clone() });
        }
        Key::parse(&buffer[..length])
            .map(|key| ReadKey { key, exposed })
            .map_err(|source| KeyReadError::Key {
                from: self.clone(),
                source,
            })
    }
}

/// Whether a path is a key, or one with mistakes.
fn is_like_key(path: &[u8]) -> bool {
    let text = path.trim_ascii();
    let start = text.get(..PREFIX.len());
    let starts_so = start.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX.as_bytes()));
    Key::parse(path).is_ok() || starts_so && text.len() >= KEY_LIKE && !text.contains(&b'/')
}

/// Reads until the buffer is full or the input ends; returns how much.
fn fill(mut input: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match input.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

impl FromStr for KeySource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" {
            Self::Stdin
        } else {
            Self::File(text.into())
        })
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn file_with(content: &[u8], mode: u32) -> (tempfile::TempDir, KeySource) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pydict.key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, KeySource::File(path))
    }

    #[test]
    fn a_key_file_with_a_newline_is_read() {
        let key = Key::generate().unwrap();
        let (_folder, source) = file_with(format!("{}\n", *key.to_text()).as_bytes(), 0o600);
        let read = source.read().unwrap();
        assert_eq!(read.key.id(), key.id());
        assert_eq!(read.exposed, None);
    }

    #[test]
    fn a_key_file_that_others_may_read_is_told() {
        let key = Key::generate().unwrap();
        let (_folder, source) = file_with(key.to_text().as_bytes(), 0o640);
        assert_eq!(source.read().unwrap().exposed, Some(0o640));
    }

    #[test]
    fn an_oversized_file_is_refused_unparsed() {
        let (_folder, source) = file_with(&[b' '; LIMIT + 1], 0o600);
        assert!(matches!(source.read(), Err(KeyReadError::TooLong { .. })));
    }

    #[test]
    fn a_missing_file_is_named() {
        let source = KeySource::File("/nowhere/pydict.key".into());
        let text = source.read().err().unwrap().to_string();
        assert_eq!(text, "cannot read the key from /nowhere/pydict.key");
    }

    #[test]
    fn a_key_in_place_of_a_file_is_refused_without_repeating_it() {
        let text = Key::generate().unwrap().to_text();
        let error = text.parse::<KeySource>().unwrap().read().err().unwrap();
        assert!(matches!(error, KeyReadError::KeyInsteadOfFile));
        assert!(!format!("{error} {error:?}").contains(text.as_str()));
    }

    #[test]
    fn a_key_with_a_slip_in_it_is_not_repeated_either() {
        let text = Key::generate().unwrap().to_text();
        let mut wrong = text.to_string();
        wrong.pop();
        for given in [
            format!("{wrong}!"),
            wrong.to_uppercase(),
            format!(" {wrong}"),
        ] {
            let error = given.parse::<KeySource>().unwrap().read().err().unwrap();
            assert!(matches!(error, KeyReadError::KeyInsteadOfFile));
            assert!(!format!("{error} {error:?}").contains(&given));
        }
        let file = KeySource::File("rsfaas1.key".into());
        assert!(matches!(file.read(), Err(KeyReadError::Io { .. })));
        let file = KeySource::File(format!("./{wrong}").into());
        assert!(matches!(file.read(), Err(KeyReadError::Io { .. })));
    }

    #[test]
    fn a_dash_means_standard_input() {
        assert_eq!("-".parse(), Ok(KeySource::Stdin));
        assert_eq!("./-".parse(), Ok(KeySource::File("./-".into())));
    }
}
