//! `.dockerignore`: what a builder leaves out of its context (the engine leaves that to its clients).
use std::path::Path;

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
        let parts: Vec<String> = path
            .components()
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
