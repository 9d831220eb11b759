//! What a stack file's entry says of its function's environment.
use serde_json::Value;

/// The variables that name a function's own process, the one that counts first: a watchdog that knows both takes that.
pub(crate) const PROCESS: [&str; 2] = ["function_process", "fprocess"];

/// Whether an entry sets a variable, itself or in one of its environment files.
#[must_use]
pub fn sets(entry: &Value, variable: &str) -> bool {
    entry["environment"].get(variable).is_some() || in_files(entry, variable)
}

/// Whether one of an entry's environment files sets a variable. A file that cannot be read is taken to.
pub(crate) fn in_files(entry: &Value, variable: &str) -> bool {
    let in_file = |file: &Value| {
        let text = file.as_str().map(std::fs::read_to_string);
        !matches!(text, Some(Ok(text)) if !text.contains(variable))
    };
    let files = entry["environment_file"].as_array();
    files.into_iter().flatten().any(in_file)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_looked_for_in_the_entry_and_its_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "environment:\n  NODE_OPTIONS: --inspect\n").unwrap();
        let entry = json!({"environment": {"A": 1}, "environment_file": [file.path()]});
        assert!(sets(&entry, "A") && sets(&entry, "NODE_OPTIONS"));
        assert!(!sets(&entry, "PYTHONPATH"));
        assert!(!in_files(&entry, "A") && in_files(&entry, "NODE_OPTIONS"));
        assert!(sets(
            &json!({"environment_file": ["/nonexistent"]}),
            "PYTHONPATH"
        ));
        assert!(!sets(&Value::Null, "A"));
    }
}
