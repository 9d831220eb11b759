//! Which files of a handler folder stay readable, since dependencies are installed from them.
use std::ffi::OsStr;

/// By name; `docs/sealed-format.md` has the same list by language.
const NAMES: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "Gemfile",
    "Gemfile.lock",
    "Pipfile",
    "Pipfile.lock",
    "build.gradle",
    "build.gradle.kts",
    "composer.json",
    "composer.lock",
    "constraints.txt",
    "go.mod",
    "go.sum",
    "gradle.properties",
    "npm-shrinkwrap.json",
    "package-lock.json",
    "package.json",
    "packages.lock.json",
    "pnpm-lock.yaml",
    "poetry.lock",
    "pom.xml",
    "pyproject.toml",
    "requirements.txt",
    "settings.gradle",
    "settings.gradle.kts",
    "tox.ini",
    "uv.lock",
    "yarn.lock",
];

/// By ending, for languages whose manifest bears the project's name.
const ENDINGS: &[&str] = &[".csproj", ".fsproj"];

/// Whether a regular file of this name, at the top of a handler folder, is a dependency manifest.
#[must_use]
pub fn is_manifest(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        NAMES.contains(&name) || ENDINGS.iter().any(|ending| name.ends_with(ending))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_of_each_language_are_known_and_sources_are_not() {
        for name in [
            "requirements.txt",
            "package.json",
            "go.mod",
            "Function.csproj",
            "tox.ini",
        ] {
            assert!(is_manifest(OsStr::new(name)), "{name}");
        }
        for name in [
            "handler.py",
            "index.js",
            "setup.py",
            "requirements.txt.bak",
            ".npmrc",
        ] {
            assert!(!is_manifest(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_specification_lists_every_manifest() {
        let page = include_str!("../../../../docs/sealed-format.md");
        for name in NAMES {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
        for ending in ENDINGS {
            assert!(page.contains(&format!("`*{ending}`")), "{ending}");
        }
    }
}
