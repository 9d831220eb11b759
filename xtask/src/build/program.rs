//! Where cargo has put a program. It alone knows: the folder may be set in the environment (`CARGO_TARGET_DIR`) and in
//! several files.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{error::Error, process};

/// Has cargo tell what it builds.
pub(crate) const TELL: [&str; 2] = ["--message-format", "json-render-diagnostics"];

/// The program of a kind (`bin`, `test`) and name that a cargo which is to [`TELL`] builds; what it writes of its work
/// is shown.
///
/// # Errors
/// When it fails, or tells of no such program.
pub(crate) fn built_by(cargo: &mut Command, kind: &str, name: &str) -> Result<PathBuf, Error> {
    let messages = process::output(cargo.stderr(Stdio::inherit()))?;
    told(&messages, kind, name)
        .ok_or_else(|| Error::NotSeen(format!("the {kind} {name} in what cargo built")))
}

fn told(messages: &str, kind: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .filter(|message| message["target"]["kind"][0] == kind)
        // A program is also compiled as the test of itself.
        .filter(|message| message["profile"]["test"] == (kind == "test"))
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_where_cargo_says_that_it_is() {
        let message = |kind, test, file| {
            let target = serde_json::json!({"kind": [kind], "name": "rsfaas"});
            let profile = serde_json::json!({"test": test});
            let message = serde_json::json!({
                "reason": "compiler-artifact",
                "target": target,
                "profile": profile,
                "executable": file,
            });
            format!("{message}\n")
        };
        let messages = [
            message("lib", false, None),
            message("bin", true, Some("/far/debug/deps/rsfaas-0123")),
            message("bin", false, Some("/far/debug/rsfaas")),
            "not JSON\n".to_owned(),
        ]
        .concat();
        let program = told(&messages, "bin", "rsfaas");
        assert_eq!(program, Some("/far/debug/rsfaas".into()));
        assert_eq!(told(&messages, "test", "rsfaas"), None);
        assert_eq!(told(&messages, "bin", "another"), None);
    }
}
