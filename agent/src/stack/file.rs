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
    gateway: Option<String>,
    functions: BTreeMap<String, Entry>,
    copied: Vec<String>,
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

#[derive(Deserialize)]
struct Configuration {
    copy: Option<Vec<String>>,
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
        let file = Self {
            path,
            gateway: raw.provider.gateway,
            functions: raw.functions,
            copied: raw.configuration.and_then(|it| it.copy).unwrap_or_default(),
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

    /// The folder of the file, where `template/` is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
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
            self.wrong(name, &format!("`handler` {}: {error}", handler.display()))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Vec<Function>, String> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("pydict/handler.py", ""),
            (
                "template/node/template.yml",
                "language: node\nfprocess: node index.js\n",
            ),
            ("template/dockerfile/template.yml", "fprocess: none\n"),
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let path = folder.path().join("stack.yaml");
        StackFile::parse(path, text, &environment)
            .and_then(|file| file.functions(None))
            .map_err(|error| error.to_string())
    }

    fn environment(name: &str) -> Option<String> {
        (name == "REGISTRY").then(|| "registry:5000".to_owned())
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
    build_options: [dev]
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
        assert_eq!(functions[0].build_options, ["dev"]);
    }

    #[test]
    fn variables_are_replaced_before_anything_is_read() {
        let text = GOOD.replace("registry:5000", "${REGISTRY}").replace(
            "{A: 1}",
            "{A: '${REGISTRY}', B: ${B:-3.10}, C: '$${REGISTRY}'}",
        );
        let function = read(&text).unwrap().remove(0);
        assert_eq!(function.image, "registry:5000/pydict:1");
        let expected = json!({"A": "registry:5000", "B": "3.10", "C": "${REGISTRY}"});
        assert_eq!(function.entry["environment"], expected);
        let file = StackFile::parse("/tmp/s".into(), &format!("{GOOD}# ${{NONE}}"), &environment);
        assert_eq!(file.unwrap().unset(), ["NONE"]);
    }

    #[test]
    fn the_gateway_that_every_new_file_names_is_nobodys_choice() {
        let gateway = |named: &str| {
            let text = GOOD.replace("http://127.0.0.1:8080", named);
            let file = StackFile::parse("/tmp/s".into(), &text, &environment).unwrap();
            file.gateway().map(str::to_owned)
        };
        assert_eq!(gateway("http://127.0.0.1:8080"), None);
        assert_eq!(gateway("''"), None);
        assert_eq!(gateway("http://g:8080").unwrap(), "http://g:8080");
    }

    #[test]
    fn the_process_is_that_of_the_template_where_the_entry_names_none() {
        let process = |lang: &str, more: &str| {
            let text = GOOD.replace("python3-flask", &format!("{lang}{more}"));
            read(&text).unwrap()[0].entry["fprocess"].clone()
        };
        assert_eq!(process("node", ""), "node index.js");
        assert_eq!(process("node", "\n    fprocess: ''"), "node index.js");
        assert_eq!(process("node", "\n    fprocess: node other"), "node other");
        for without in ["dockerfile", "Dockerfile", "python3-flask"] {
            assert_eq!(process(without, ""), Value::Null, "{without}");
        }
    }

    #[test]
    fn mistakes_are_told_with_file_and_function() {
        for (from, to, expected) in [
            ("    lang: python3-flask\n", "", "`lang` is missing"),
            ("./pydict", "./nowhere", "nowhere"),
            ("pydict:1", "${TAG%0}", "line 7: `${TAG%0}`"),
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
        let file = StackFile::parse("/tmp/stack.yaml".into(), GOOD, &environment).unwrap();
        let error = file.functions(Some("other")).unwrap_err().to_string();
        assert!(error.contains("pydict"), "{error}");
    }
}
