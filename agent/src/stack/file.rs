//! Reading a stack file (<https://docs.openfaas.com/reference/yaml/>).
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    StackError,
    entry::Entry,
    substitute::{Substituted, substitute},
    template::{Template, is_dockerfile},
};

/// What faas-cli takes for no gateway at all.
const DEFAULT_GATEWAY: &str = "http://127.0.0.1:8080";

/// A stack file.
#[derive(Debug, Clone)]
pub struct StackFile {
    path: PathBuf,
    /// Where its paths start.
    project: PathBuf,
    /// The working folder, where they do not start there.
    passed_over: Option<PathBuf>,
    gateway: Option<String>,
    functions: BTreeMap<String, Entry>,
    copied: Vec<String>,
    names_templates: bool,
    unset: Vec<String>,
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
    /// Which of its template's packages it is built with, by their names there.
    pub build_options: Vec<String>,
    /// Its entry, with paths made absolute, and with the process that its template names where it names none itself.
    pub entry: Value,
}

#[derive(Deserialize)]
struct Raw {
    provider: Provider,
    functions: BTreeMap<String, Entry>,
    #[serde(default)]
    configuration: Option<Configuration>,
}

#[derive(Default, Deserialize)]
struct Configuration {
    copy: Option<Vec<String>>,
    templates: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
struct Provider {
    name: String,
    #[serde(default)]
    gateway: Option<String>,
}

impl StackFile {
    /// Reads a stack file, with this process's environment in the place of its variables.
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
        Self::parse(path, &text, &|name| std::env::var(name).ok())
    }

    fn parse(
        path: PathBuf,
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, StackError> {
        let Substituted { text, unset } =
            substitute(text, variable).map_err(|refused| StackError::Variable {
                path: path.clone(),
                line: refused.line,
                expression: refused.expression,
            })?;
        let raw: Raw = serde_norway::from_str(&text).map_err(|source| StackError::Parse {
            path: path.clone(),
            source,
        })?;
        let configuration = raw.configuration.unwrap_or_default();
        let file = Self {
            project: path.parent().unwrap_or(Path::new("/")).to_owned(),
            passed_over: None,
            path,
            gateway: raw.provider.gateway,
            functions: raw.functions,
            copied: configuration.copy.unwrap_or_default(),
            names_templates: configuration.templates.is_some_and(|it| !it.is_empty()),
            unset,
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

    /// The folder of the templates.
    #[must_use]
    pub fn templates(&self) -> PathBuf {
        self.folder().join("template")
    }

    /// Whether a function's template is there, or it needs none.
    #[must_use]
    pub fn has_template(&self, function: &Function) -> bool {
        let folder = self.templates().join(&function.lang);
        is_dockerfile(&function.lang) || folder.is_dir()
    }

    /// The command that brings a function's template, which faas-cli would run by itself before it builds.
    #[must_use]
    pub fn template_command(&self, function: &Function) -> String {
        if self.names_templates {
            format!("faas-cli template pull stack -f {}", self.path.display())
        } else {
            format!("faas-cli template store pull {}", function.lang)
        }
    }

    /// The project's folder, where its paths start and `template/` is: the file's own unless told otherwise.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.project
    }

    /// Takes a working folder for the project's, as faas-cli always does, if the handlers of all functions that are
    /// asked for, and are built, are there. A folder that has the working folder in it is nobody's handler.
    #[must_use]
    pub fn worked_on_in(mut self, working: &Path, only: Option<&str>) -> Self {
        let real = |path: &Path| path.canonicalize().ok();
        let Some(here) = real(working).filter(|here| real(&self.project).as_ref() != Some(here))
        else {
            return self;
        };
        let asked = |name: &str| only.is_none_or(|only| only == name);
        let entries = self.entries();
        let entries = entries.filter(|(name, entry)| asked(name) && !is_unbuilt(entry));
        let handlers = entries.filter_map(|(_, entry)| entry.get("handler")?.as_str());
        let is_there = |handler: &str| {
            let folder = real(&working.join(handler)).filter(|folder| folder.is_dir());
            folder.is_some_and(|folder| !here.starts_with(folder))
        };
        let found: Vec<bool> = handlers
            .filter(|path| Path::new(path).is_relative())
            .map(is_there)
            .collect();
        if found.contains(&false) {
            self.passed_over = Some(working.to_owned());
        } else if !found.is_empty() {
            self.project = working.to_owned();
        }
        self
    }

    /// Every function's name and entry as they are written, whatever mistakes they have.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
        let entries = self.functions.iter();
        entries.map(|(name, entry)| (name.as_str(), &entry.0))
    }

    /// `provider.gateway`, where it is the author's choice: faas-cli writes its default into every new file, and takes
    /// that for none.
    #[must_use]
    pub fn gateway(&self) -> Option<&str> {
        let named = self.gateway.as_deref();
        named.filter(|named| !["", DEFAULT_GATEWAY].contains(named))
    }

    /// `configuration.copy`: paths that faas-cli puts into every handler folder when it builds.
    #[must_use]
    pub fn copied(&self) -> &[String] {
        &self.copied
    }

    /// Variables of the file that nobody has set, and that stand for nothing therefore.
    #[must_use]
    pub fn unset(&self) -> &[String] {
        &self.unset
    }

    /// Names of functions that are never built (`skip_build: true`): their images come from elsewhere.
    pub fn unbuilt(&self) -> impl Iterator<Item = &str> {
        let unbuilt = self.entries().filter(|(_, entry)| is_unbuilt(entry));
        unbuilt.map(|(name, _)| name)
    }

    /// The named function, or all of them that are built.
    ///
    /// # Errors
    /// When there is none of that name, it is never built, or one has mistakes.
    pub fn functions(&self, only: Option<&str>) -> Result<Vec<Function>, StackError> {
        if let Some((name, entry)) = only.and_then(|name| self.functions.get_key_value(name))
            && is_unbuilt(&entry.0)
        {
            let what = "by `skip_build` it is never built, and only what is built can be sealed and unsealed; take \
                        that out where the function has a handler";
            return Err(self.wrong(name, what));
        }
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
        let asked = |name: &str, entry: &Entry| match only {
            Some(only) => only == name,
            None => !is_unbuilt(&entry.0),
        };
        self.functions
            .iter()
            .filter(|(name, entry)| asked(name, entry))
            .map(|(name, entry)| self.function(name, entry))
            .collect()
    }

    fn function(&self, name: &str, Entry(entry): &Entry) -> Result<Function, StackError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.len() > 50 || !name.bytes().all(plain) {
            let what = "the name must be lower-case letters, digits and `-`, 50 at most";
            return Err(self.wrong(name, what));
        }
        let field = |field: &str| {
            entry
                .get(field)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| self.wrong(name, &format!("`{field}` is missing")))
        };
        let handler = self.folder().join(field("handler")?);
        let handler = std::fs::canonicalize(&handler).map_err(|error| {
            let elsewhere = self.passed_over.as_ref().map(|working| {
                format!(
                    "; the working folder {} does not have it either, or not every function's",
                    working.display()
                )
            });
            let elsewhere = elsewhere.unwrap_or_default();
            self.wrong(
                name,
                &format!("`handler` {}: {error}{elsewhere}", handler.display()),
            )
        })?;
        let mut absolute = Value::from(entry.clone());
        for file in absolute["environment_file"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some(path) = file.as_str() {
                *file = self.folder().join(path).to_string_lossy().into();
            }
        }
        let lang = field("lang")?;
        // As faas-cli has it when it deploys, which is done without the template from here on.
        if absolute["fprocess"].as_str().is_none_or(str::is_empty)
            && !is_dockerfile(&lang)
            && let Ok(template) = Template::read(&self.templates().join(&lang))
            && let Some(process) = template.fprocess
        {
            absolute["fprocess"] = process.into();
        }
        let build_args = absolute["build_args"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let build_options = absolute["build_options"].as_array().into_iter().flatten();
        let build_options = build_options.filter_map(|name| Some(name.as_str()?.to_owned()));
        Ok(Function {
            build_options: build_options.collect(),
            name: name.to_owned(),
            lang,
            handler,
            image: field("image")?,
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

/// Whether faas-cli never builds the function of an entry. Where it reads a truth value it takes words of YAML 1.1 for
/// one.
pub(crate) fn is_unbuilt(entry: &Map<String, Value>) -> bool {
    match entry.get("skip_build") {
        Some(Value::Bool(is_skipped)) => *is_skipped,
        Some(Value::String(word)) => ["y", "Y", "yes", "on"].contains(&word.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
