//! Reading a stack file (<https://docs.openfaas.com/reference/yaml/>).
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

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

/// A stack file.
#[derive(Debug, Clone)]
pub struct StackFile {
    path: PathBuf,
    gateway: Option<String>,
    functions: BTreeMap<String, Value>,
}

/// A function of a stack file.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its template.
    pub lang: String,
    /// Its handler folder, absolute.
    pub handler: PathBuf,
    /// Its image, with tag where one is given.
    pub image: String,
    /// Its build arguments.
    pub build_args: BTreeMap<String, String>,
    /// Its entry, with paths made absolute.
    pub entry: Value,
}

#[derive(Deserialize)]
struct Raw {
    provider: Provider,
    functions: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Provider {
    name: String,
    #[serde(default)]
    gateway: Option<String>,
}

impl StackFile {
    /// Reads a stack file.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn read(path: &Path) -> Result<Self, StackError> {
        let path = std::path::absolute(path).map_err(|source| StackError::Read {
            path: path.to_owned(),
            source,
        })?;
        let text = std::fs::read_to_string(&path).map_err(|source| StackError::Read {
            path: path.clone(),
            source,
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, StackError> {
        let raw: Raw = serde_norway::from_str(text).map_err(|source| StackError::Parse {
            path: path.clone(),
            source,
        })?;
        let file = Self {
            path,
            gateway: raw.provider.gateway,
            functions: raw.functions,
        };
        if raw.provider.name != "openfaas" {
            return Err(file.wrong("provider", "`provider.name` must be `openfaas`"));
        }
        Ok(file)
    }

    /// The file, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder in which faas-cli puts template and handler of a function together to build it.
    #[must_use]
    pub fn build_folder(&self, function: &str) -> PathBuf {
        self.folder().join("build").join(function)
    }

    /// The folder of the file, where `template/` is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Every function's name and entry as they are written, whatever mistakes they have.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        let entries = self.functions.iter();
        entries.map(|(name, entry)| (name.as_str(), entry))
    }

    /// `provider.gateway`.
    #[must_use]
    pub fn gateway(&self) -> Option<&str> {
        self.gateway.as_deref()
    }

    /// The named function, or all of them.
    ///
    /// # Errors
    /// When there is none of that name, or one has mistakes.
    pub fn functions(&self, only: Option<&str>) -> Result<Vec<Function>, StackError> {
        if let Some(name) = only
            && !self.functions.contains_key(name)
        {
            let known: Vec<&str> = self.functions.keys().map(String::as_str).collect();
            return Err(StackError::NoFunction {
                path: self.path.clone(),
                name: name.to_owned(),
                known: known.join(", "),
            });
        }
        self.functions
            .iter()
            .filter(|(name, _)| only.is_none_or(|only| only == *name))
            .map(|(name, entry)| self.function(name, entry))
            .collect()
    }

    fn function(&self, name: &str, entry: &Value) -> Result<Function, StackError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.len() > 50 || !name.bytes().all(plain) {
            let what = "the name must be lower-case letters, digits and `-`, 50 at most";
            return Err(self.wrong(name, what));
        }
        let field = |field: &str| {
            entry[field]
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| self.wrong(name, &format!("`{field}` is missing")))
        };
        let image = field("image")?;
        if image.contains('$') {
            return Err(self.wrong(name, "variables in `image` are not resolved; write it out"));
        }
        let handler = self.folder().join(field("handler")?);
        let handler = std::fs::canonicalize(&handler).map_err(|error| {
            self.wrong(name, &format!("`handler` {}: {error}", handler.display()))
        })?;
        let mut absolute = entry.clone();
        for file in absolute["environment_file"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some(path) = file.as_str() {
                *file = self.folder().join(path).to_string_lossy().into();
            }
        }
        let build_args = entry["build_args"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), plain_text(value)))
            .collect();
        Ok(Function {
            name: name.to_owned(),
            lang: field("lang")?,
            handler,
            image,
            build_args,
            entry: absolute,
        })
    }

    fn wrong(&self, name: &str, what: &str) -> StackError {
        StackError::Function {
            path: self.path.clone(),
            name: name.to_owned(),
            what: what.to_owned(),
        }
    }
}

/// A scalar as the text that it stands for.
fn plain_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Function>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pydict")).unwrap();
        let path = folder.path().join("stack.yaml");
        std::fs::write(&path, text).unwrap();
        StackFile::read(&path)
            .and_then(|file| file.functions(None))
            .map_err(|error| error.to_string())
    }

    const GOOD: &str = "
provider: {name: openfaas, gateway: http://127.0.0.1:8080}
functions:
  pydict:
    lang: python3-flask
    handler: ./pydict
    image: registry:5000/pydict:1
    environment: {A: 1}
    environment_file: [env.yml]
    build_args: {TEST: 1}
";

    #[test]
    fn a_function_is_read_with_its_paths_made_absolute() {
        let functions = read(GOOD).unwrap();
        assert_eq!(functions.len(), 1);
        assert_eq!(functions[0].lang, "python3-flask");
        assert!(functions[0].handler.is_absolute());
        assert!(
            functions[0].entry["environment_file"][0]
                .as_str()
                .unwrap()
                .starts_with('/')
        );
        assert_eq!(functions[0].build_args["TEST"], "1");
    }

    #[test]
    fn mistakes_are_told_with_file_and_function() {
        for (from, to, expected) in [
            ("    lang: python3-flask\n", "", "`lang` is missing"),
            ("./pydict", "./nowhere", "nowhere"),
            ("registry:5000/pydict:1", "${R}/pydict", "variables"),
            ("  pydict:\n", "  Py_dict:\n", "lower-case"),
            ("name: openfaas", "name: faas", "provider"),
            ("functions:", "functions: [", "is not a stack file"),
        ] {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            assert!(
                error.contains(expected) && error.contains("stack.yaml"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_name_that_is_not_there_is_told_with_those_that_are() {
        let file = StackFile::parse("/tmp/stack.yaml".into(), GOOD).unwrap();
        let error = file.functions(Some("other")).unwrap_err().to_string();
        assert!(error.contains("pydict"), "{error}");
    }
}
