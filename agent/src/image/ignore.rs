//! `.dockerignore`: what a builder leaves out of its context (the engine leaves that to its clients).
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use super::ImageError;
use crate::{
    not_found::ignore_not_found,
    stack::{Function, StackFile, Template, is_dockerfile},
};

/// The list, in a template or a context.
pub(super) const FILE: &str = ".dockerignore";
/// Where templates put the handler folder unless they say otherwise.
const HANDLER: &str = "function";

/// What a function's template leaves out of the function's image, of what is in the handler folder.
#[derive(Debug, Default)]
pub struct LeftOut {
    ignored: Ignored,
    /// Where the template puts the handler folder.
    handler: PathBuf,
}

impl LeftOut {
    /// Reads the template's list; without a template nothing is left out.
    ///
    /// # Errors
    /// When the list is there and cannot be read.
    pub fn of(stack: &StackFile, function: &Function) -> Result<Self, ImageError> {
        if is_dockerfile(&function.lang) {
            return Ok(Self::default());
        }
        let template = stack.templates().join(&function.lang);
        let text = ignore_not_found(fs::read_to_string(template.join(FILE)))
            .map_err(ImageError::context(&function.name))?
            .unwrap_or_default();
        let handler = Template::read(&template)
            .ok()
            .and_then(|it| it.handler_folder)
            .filter(|folder| !folder.as_os_str().is_empty());
        Ok(Self {
            ignored: Ignored::parse(&text),
            handler: handler.unwrap_or_else(|| HANDLER.into()),
        })
    }

    /// Whether a path in the handler folder is left out.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.ignored.has(&self.handler.join(path))
    }
}

/// The patterns of a file, in their order.
#[derive(Debug, Default)]
pub(super) struct Ignored(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    parts: Vec<String>,
    /// Whether what matches is taken in again.
    exception: bool,
}

impl Ignored {
    /// Reads the patterns.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let patterns = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(
            patterns
                .map(|line| {
                    let exception = line.strip_prefix('!');
                    let parts = exception.unwrap_or(line).split('/');
                    Pattern {
                        parts: parts
                            .filter(|part| !["", "."].contains(part))
                            .map(str::to_owned)
                            .collect(),
                        exception: exception.is_some(),
                    }
                })
                .collect(),
        )
    }

    /// Whether a path is left out: the last pattern that matches it or a folder above it decides.
    pub(super) fn has(&self, path: &Path) -> bool {
        let names = path
            .components()
            .filter(|part| matches!(part, Component::Normal(_)));
        let parts: Vec<String> = names
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        let last = self.0.iter().rfind(|pattern| {
            (1..=parts.len()).any(|length| matches(&pattern.parts, &parts[..length]))
        });
        last.is_some_and(|pattern| !pattern.exception)
    }
}

fn matches(pattern: &[String], path: &[String]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => {
            matches(rest, path) || (!path.is_empty() && matches(pattern, &path[1..]))
        }
        (Some((first, rest)), Some((name, below))) => {
            matches_name(first.as_bytes(), name.as_bytes()) && matches(rest, below)
        }
        _ => false,
    }
}

/// A name against a pattern with `*` and `?`.
pub(super) fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches_name(rest, name) || (!name.is_empty() && matches_name(pattern, &name[1..]))
        }
        (Some((b'?', rest)), Some((_, below))) => matches_name(rest, below),
        (Some((first, rest)), Some((byte, below))) => first == byte && matches_name(rest, below),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the template of a function leaves out, by its files.
    fn left_out(lang: &str, files: &[(&str, &str)]) -> LeftOut {
        let project = tempfile::tempdir().unwrap();
        let template = project.path().join("template/node");
        for folder in [&template, &project.path().join("f")] {
            fs::create_dir_all(folder).unwrap();
        }
        for (name, text) in files {
            fs::write(template.join(name), text).unwrap();
        }
        let file = project.path().join("stack.yaml");
        let text = format!(
            "provider: {{name: openfaas}}\nfunctions:\n  f: {{lang: {lang}, handler: ./f, image: i}}\n"
        );
        fs::write(&file, text).unwrap();
        let stack = StackFile::read(&file).unwrap();
        LeftOut::of(&stack, &stack.functions(None).unwrap()[0]).unwrap()
    }

    #[test]
    fn a_templates_list_is_read_for_the_place_of_the_handler_folder() {
        let modules = Path::new("node_modules/lib/index.js");
        let list = (FILE, "*/node_modules\n");
        let node = left_out("node", &[list]);
        assert!(node.has(modules));
        assert!(!node.has(Path::new("handler.js")) && !node.has(Path::new("lib/node_modules")));
        let elsewhere = ("template.yml", "handler_folder: ./src/function\n");
        assert!(!left_out("node", &[list, elsewhere]).has(modules));
        let deep = (FILE, "src/*/node_modules\n");
        assert!(left_out("node", &[deep, elsewhere]).has(modules));
        for lang in ["dockerfile", "other"] {
            assert!(!left_out(lang, &[list]).has(modules));
        }
    }

    #[test]
    fn patterns_match_as_the_builders_documentation_says() {
        let ignored =
            Ignored::parse("# comment\n*/temp*\n**/*.log\n/docs\n*.md\n!README.md\na?c\n");
        for (path, expected) in [
            ("x/temporary.txt", true),
            ("x/y/temporary.txt", false),
            ("x/y/z.log", true),
            ("z.log", true),
            ("docs/page/a", true),
            ("NOTES.md", true),
            ("README.md", false),
            ("x/NOTES.md", false),
            ("abc", true),
            ("abbc", false),
        ] {
            assert_eq!(ignored.has(Path::new(path)), expected, "{path}");
        }
    }
}
