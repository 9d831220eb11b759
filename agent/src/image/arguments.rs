//! Build arguments as faas-cli puts them together: the function's own, the packages that its build options stand for
//! in its template, and the proxies that the environment names; and what its builder adds, the platform.
use std::{collections::HashMap, path::Path};

use crate::stack::{Function, Template};

/// The argument that templates install packages by.
const PACKAGES: &str = "ADDITIONAL_PACKAGE";

/// The arguments that every Dockerfile has for proxies, without naming them.
const PROXIES: [&str; 6] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// What BuildKit gives every Dockerfile that asks for it, and the engine's classic builder none
/// (<https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope>).
pub(super) const PLATFORM: [(&str, &str); 6] = [
    ("BUILDPLATFORM", "linux/amd64"),
    ("BUILDOS", "linux"),
    ("BUILDARCH", "amd64"),
    ("TARGETPLATFORM", "linux/amd64"),
    ("TARGETOS", "linux"),
    ("TARGETARCH", "amd64"),
];

/// Why there are none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ArgumentsError {
    /// The template cannot be looked into.
    #[error("its `build_options` are for the template to resolve, and {0}")]
    Template(String),
    /// The template has no such option.
    #[error("its template has no build option {name:?}; it has: {known}")]
    Unknown {
        /// The option.
        name: String,
        /// Those that are there.
        known: String,
    },
}

/// The arguments of a function whose templates are in a folder, in an environment.
///
/// # Errors
/// When it has a build option that its template has not.
pub(super) fn of(
    function: &Function,
    templates: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<HashMap<String, String>, ArgumentsError> {
    let mut arguments: HashMap<_, _> = function.build_args.clone().into_iter().collect();
    for name in PROXIES {
        if let Some(proxy) = variable(name).filter(|proxy| !proxy.is_empty()) {
            arguments.entry(name.to_owned()).or_insert(proxy);
        }
    }
    for (name, value) in PLATFORM {
        let value = || value.to_owned();
        arguments.entry(name.to_owned()).or_insert_with(value);
    }
    if function.build_options.is_empty() {
        return Ok(arguments);
    }
    let template = Template::read(&templates.join(&function.lang));
    let template = template.map_err(ArgumentsError::Template)?;
    let mut packages: Vec<&str> = Vec::new();
    for name in &function.build_options {
        let known = &template.build_options;
        let option = known.iter().find(|option| option.name == *name);
        let option = option.ok_or_else(|| ArgumentsError::Unknown {
            name: name.clone(),
            known: known
                .iter()
                .map(|it| it.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        packages.extend(option.packages.iter().map(String::as_str));
    }
    let own = function.build_args.get(PACKAGES);
    packages.extend(own.into_iter().flat_map(|own| own.split(' ')));
    let mut once: Vec<&str> = Vec::new();
    for package in packages {
        if !once.contains(&package) {
            once.push(package);
        }
    }
    arguments.insert(PACKAGES.into(), once.join(" "));
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEMPLATE: &str = "
language: python3
build_options:
  - name: dev
    packages: [make, gcc]
  - name: mysql
    packages: [gcc, mysql-dev]
";

    fn arguments(
        options: &[&str],
        own: &[(&str, &str)],
    ) -> Result<HashMap<String, String>, ArgumentsError> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("python3")).unwrap();
        fs::write(folder.path().join("python3/template.yml"), TEMPLATE).unwrap();
        let function = Function {
            name: "f".into(),
            lang: "python3".into(),
            handler: "/f".into(),
            image: "r/f:1".into(),
            build_args: own
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            build_options: options.iter().map(ToString::to_string).collect(),
            entry: serde_json::Value::Null,
        };
        of(&function, folder.path(), &|name| match name {
            "https_proxy" | "HTTP_PROXY" => Some(format!("http://{name}:3128")),
            "no_proxy" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn builds_have_the_proxies_of_the_environment_where_the_stack_file_names_no_others() {
        let found = arguments(&[], &[("A", "1")]).unwrap();
        assert_eq!(found["https_proxy"], "http://https_proxy:3128");
        assert_eq!(found["HTTP_PROXY"], "http://HTTP_PROXY:3128");
        assert_eq!(found.len(), 3 + PLATFORM.len(), "{found:?}");
        let own = arguments(&[], &[("https_proxy", "http://own")]).unwrap();
        assert_eq!(own["https_proxy"], "http://own");
    }

    #[test]
    fn builds_have_the_platform_where_the_stack_file_names_no_other() {
        let found = arguments(&[], &[("TARGETARCH", "own")]).unwrap();
        assert_eq!(found["BUILDPLATFORM"], "linux/amd64");
        assert_eq!(found["TARGETARCH"], "own");
    }

    #[test]
    fn build_options_become_the_packages_of_the_template() {
        let packages = |options: &[&str], own: &[(&str, &str)]| {
            arguments(options, own).unwrap().remove(PACKAGES)
        };
        assert_eq!(
            packages(&["dev", "mysql"], &[]).unwrap(),
            "make gcc mysql-dev"
        );
        let own = [(PACKAGES, "git make"), ("A", "1")];
        assert_eq!(packages(&["dev"], &own).unwrap(), "make gcc git");
        assert_eq!(packages(&[], &own).unwrap(), "git make");
        assert_eq!(packages(&[], &[]), None);
        assert_eq!(arguments(&["dev"], &own).unwrap()["A"], "1");
    }

    #[test]
    fn a_build_option_that_the_template_has_not_is_told_with_those_that_it_has() {
        let error = arguments(&["debug"], &[]).unwrap_err().to_string();
        assert!(
            error.contains("\"debug\"") && error.contains("dev, mysql"),
            "{error}"
        );
    }
}
