//! What a template says of the functions that are made with it.
use std::{fs, path::Path};

use serde::Deserialize;

/// `template.yml`, as far as it is needed.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Template {
    /// The process of its functions, where the stack file names none.
    #[serde(default)]
    pub(crate) fprocess: Option<String>,
    /// Where the handler folder is put, where that is not `function`.
    #[serde(default)]
    pub(crate) handler_folder: Option<std::path::PathBuf>,
    /// What may be installed for them.
    #[serde(default)]
    pub(crate) build_options: Vec<BuildOption>,
}

/// Packages under one name.
#[derive(Debug, Deserialize)]
pub(crate) struct BuildOption {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) packages: Vec<String>,
}

impl Template {
    /// Reads the one in a folder, or says why it cannot be read.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join("template.yml");
        let failed =
            |error: &dyn std::fmt::Display| format!("{} cannot be read: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| failed(&error))?;
        serde_norway::from_str(&text).map_err(|error| failed(&error))
    }
}

/// Whether functions of a language have a Dockerfile of their own, and so no template.
pub(crate) fn is_dockerfile(lang: &str) -> bool {
    lang.eq_ignore_ascii_case("dockerfile")
}
