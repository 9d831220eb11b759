//! Why bytes are not the sealed file that they should be.
use super::key::KeyId;

/// The key is not the one that the file was sealed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed with key {sealed_with}, but this is key {given}")]
pub struct WrongKey {
    /// ID of the key that opens the file.
    pub sealed_with: KeyId,
    /// ID of the key at hand.
    pub given: KeyId,
}

/// Why bytes cannot be sealed or opened. Chunks are counted from 0.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes do not begin as a sealed file does.
    #[error("not a sealed file")]
    NotSealed,
    /// A sealed file of a version that this program does not know.
    #[error("sealed file of version {found}; this program reads version 1, use a newer rsfaas")]
    Version {
        /// The version found.
        found: u16,
    },
    /// The file ends too early.
    #[error("the sealed file is cut short: {found} bytes{}", expected.map_or(String::new(), |it| format!(" instead of {it}")))]
    Truncated {
        /// Bytes that are there.
        found: u64,
        /// Bytes that the header promises, where it is complete.
        expected: Option<u64>,
    },
    /// The file goes on after its end.
    #[error("the sealed file has {extra} bytes too many")]
    Trailing {
        /// Bytes after the end.
        extra: u64,
    },
    /// The header is not one that this program writes.
    #[error("the sealed file's header is damaged: {0}")]
    Header(&'static str),
    /// A chunk is not what was sealed. Chunk 0 also stands for a header that was changed.
    #[error("the sealed file is damaged: chunk {chunk} is not what was sealed; restore the file")]
    Corrupt {
        /// The first chunk that does not fit.
        chunk: u64,
    },
    /// The key does not open this file.
    #[error(transparent)]
    WrongKey(WrongKey),
    /// The file belongs to another function.
    #[error("sealed for function {found:?}, not for {expected:?}")]
    WrongName {
        /// The function that was asked for.
        expected: String,
        /// The function in the header.
        found: String,
    },
    /// A function's name that the header has no room for.
    #[error("function name {name:?} is empty or longer than {most} bytes")]
    NameLength {
        /// The name.
        name: String,
        /// The longest that the header holds, in bytes.
        most: usize,
    },
    /// More plaintext, or a longer label, than the format can number.
    #[error("too large to be sealed")]
    TooLarge,
    /// The system gave no random bytes.
    #[error("no random bytes from the system")]
    Random(#[from] getrandom::Error),
}

impl From<WrongKey> for FormatError {
    /// The right ID with a commitment that does not fit is a damaged header, not another key.
    fn from(wrong: WrongKey) -> Self {
        if wrong.sealed_with == wrong.given {
            Self::Header("the key commitment does not fit the key that the header names")
        } else {
            Self::WrongKey(wrong)
        }
    }
}
