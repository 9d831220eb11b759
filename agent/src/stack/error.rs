//! What is wrong with a stack file.
use std::{io, path::PathBuf};

/// What is wrong with a stack file.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// It cannot be read.
    #[error("cannot read the stack file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no YAML, or not that of a stack file; the parser says where.
    #[error("{path} is not a stack file: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and cause.
        source: serde_norway::Error,
    },
    /// A variable in it is written in a way that is not understood.
    #[error(
        "{path}, line {line}: `{expression}` is not understood: variables are `${{NAME}}` or \
         `${{NAME:-default}}`, and `$${{` stands for `${{`; write its value out"
    )]
    Variable {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What stands there.
        expression: String,
    },
    /// It has no function of that name.
    #[error("{path} has no function {name:?}; it has {known}")]
    NoFunction {
        /// The file.
        path: PathBuf,
        /// The name that was asked for.
        name: String,
        /// The names that are there.
        known: String,
    },
    /// A function lacks a field, or has one that cannot be used.
    #[error("function {name:?} in {path}: {what}")]
    Function {
        /// The file.
        path: PathBuf,
        /// The function.
        name: String,
        /// What is wrong.
        what: String,
    },
}
