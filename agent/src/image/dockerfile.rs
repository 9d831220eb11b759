//! Dockerfiles: what the engine's classic builder is not told of their platform, and one without what brings the
//! author's files in: the base of a function that has no template.
//!
//! `COPY` and `ADD` of the build context go, as do the `RUN`s of the same stage that follow, since these
//! may work on what was copied, and copies of a stage that has lost something in this way. Copies of
//! dependency manifests alone stay, also where a pattern names them that no other file has. Whatever this leaves is built from a context that holds nothing but
//! manifests: a mistake here makes a build fail, and lets nothing through.
use std::{collections::BTreeSet, ffi::OsStr, path::Path};

use super::{arguments::PLATFORM, ignore::matches_name};
use crate::seal::archive::is_manifest;

/// The Dockerfile with the arguments declared of which its stages choose their bases, where they are those that
/// BuildKit declares by itself; `None` where nothing is missing.
pub(super) fn with_platform(text: &str) -> Option<String> {
    let all = instructions(text);
    let froms = all.iter().filter(|it| keyword(it) == "FROM");
    let froms: Vec<&str> = froms.map(String::as_str).collect();
    let names = PLATFORM.iter().map(|(name, _)| *name);
    let used: Vec<&str> = names
        .filter(|name| froms.iter().any(|from| from.contains(name)))
        .collect();
    let start = all.iter().position(|it| keyword(it) == "FROM")?;
    if used.is_empty() {
        return None;
    }
    let mut whole: String = all[..start].concat();
    for name in used {
        whole.push_str(&format!("ARG {name}\n"));
    }
    whole.push_str(&all[start..].concat());
    Some(whole)
}

/// Why a Dockerfile is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DockerfileError {
    /// Here-documents, which only BuildKit knows.
    #[error("it has a here-document, which this engine's builder does not know")]
    HereDocument,
    /// Nothing of the context goes into it.
    #[error("it copies nothing of the handler folder, so there is nothing to seal")]
    NothingCopied,
    /// The container could not start without the author's files.
    #[error(
        "`USER {0}` is made by an instruction that stands behind a copy of the handler folder, and so is not in the \
         base image; make the user before the copy, or in a stage without one"
    )]
    User(String),
}

/// The Dockerfile's text without the instructions that depend on the author's files; `own` are the names of those at
/// the top of the handler folder.
///
/// # Errors
/// When there is nothing to take out, or the text is not understood.
pub(super) fn strip(text: &str, own: &[&OsStr]) -> Result<String, DockerfileError> {
    let mut stripped = String::new();
    let mut stages = Stages {
        own,
        ..Stages::default()
    };
    let mut removed = false;
    for instruction in instructions(text) {
        if matches!(keyword(&instruction).as_str(), "RUN" | "COPY" | "ADD")
            && instruction.contains("<<")
        {
            return Err(DockerfileError::HereDocument);
        }
        if stages.keeps(&instruction) {
            stripped.push_str(&instruction);
        } else {
            removed = true;
        }
    }
    if !removed {
        return Err(DockerfileError::NothingCopied);
    }
    match stages.missing_user() {
        Some(user) => Err(DockerfileError::User(user)),
        None => Ok(stripped),
    }
}

/// The stages so far, and which of them have lost something.
#[derive(Default)]
struct Stages<'a> {
    /// The author's files and folders at the top of the handler folder.
    own: &'a [&'a OsStr],
    /// Names and numbers of those that have.
    tainted: BTreeSet<String>,
    count: usize,
    names: Vec<String>,
    /// What the stage's lost instructions may have given to users and groups as names.
    lost_users: BTreeSet<String>,
    /// Whether a list of users was to come from a stage that has lost something.
    lost_list: bool,
    /// Whom the stage starts as.
    user: Option<String>,
}

impl Stages<'_> {
    fn keeps(&mut self, instruction: &str) -> bool {
        match keyword(instruction).as_str() {
            "FROM" => {
                let words: Vec<&str> = words(instruction).collect();
                let name = words
                    .iter()
                    .position(|word| word.eq_ignore_ascii_case("as"))
                    .and_then(|at| words.get(at + 1));
                self.names = vec![self.count.to_string()];
                self.names.extend(name.map(|name| name.to_lowercase()));
                self.count += 1;
                if words.first().is_some_and(|from| self.is_tainted(from)) {
                    self.taint();
                } else {
                    self.lost_users.clear();
                    self.lost_list = false;
                    self.user = None;
                }
                true
            }
            "COPY" | "ADD" if !self.is_clean_copy(instruction) => {
                self.taint();
                self.lost_list |= instruction.contains("/etc/passwd");
                false
            }
            "RUN" if self.names.iter().any(|name| self.tainted.contains(name)) => {
                self.lost_users.extend(made_users(instruction));
                false
            }
            "USER" => {
                self.user = words(instruction).next().map(str::to_owned);
                true
            }
            _ => true,
        }
    }

    fn taint(&mut self) {
        self.tainted.extend(self.names.iter().cloned());
    }

    /// The last stage's user, where what makes it or its group is lost. Numbers need nobody to make them.
    fn missing_user(&self) -> Option<String> {
        let user = self.user.as_ref()?;
        let is_lost = |name: &str| {
            name.parse::<u32>().is_err() && (self.lost_list || self.lost_users.contains(name))
        };
        user.split(':').any(is_lost).then(|| user.clone())
    }

    fn is_tainted(&self, stage: &str) -> bool {
        self.tainted.contains(&stage.to_lowercase())
    }

    /// Whether a copy brings in nothing of the author's: from elsewhere, or manifests alone.
    fn is_clean_copy(&self, instruction: &str) -> bool {
        let from = flags(instruction).find_map(|flag| flag.strip_prefix("--from="));
        if let Some(stage) = from {
            return !self.is_tainted(stage);
        }
        let text: String = words(instruction).collect::<Vec<_>>().join(" ");
        let list: Vec<String> = if text.starts_with('[') {
            serde_json::from_str(&text).unwrap_or_default()
        } else {
            text.split(' ').map(str::to_owned).collect()
        };
        let Some((_, sources)) = list.split_last() else {
            return false;
        };
        !sources.is_empty()
            && sources.iter().all(|source| {
                let at_top = source.trim_start_matches("./");
                source.contains("://")
                    || is_manifest_at_top(at_top)
                    || self.is_clean_pattern(at_top)
            })
    }

    /// Whether a pattern names files at the top, and none of the author's. Classes and variables are not looked into.
    fn is_clean_pattern(&self, source: &str) -> bool {
        let pattern = source.as_bytes();
        let names = |own: &&OsStr| matches_name(pattern, own.as_encoded_bytes());
        source.contains(['*', '?'])
            && !source.contains(['/', '[', '\\', '$'])
            && !self.own.iter().any(names)
    }
}

/// The words behind a command that makes users or groups; their names are among them.
fn made_users(instruction: &str) -> impl Iterator<Item = String> {
    const MAKE: [&str; 4] = ["adduser", "useradd", "addgroup", "groupadd"];
    let in_name = |it: char| it.is_ascii_alphanumeric() || "_.-".contains(it);
    let commands = instruction.split(['&', ';', '|']);
    commands.flat_map(move |command| {
        let words = command.split(move |it| !in_name(it));
        let behind = words.skip_while(|word| !MAKE.contains(word)).skip(1);
        behind.filter(|word| !word.is_empty()).map(str::to_owned)
    })
}

fn is_manifest_at_top(source: &str) -> bool {
    Path::new(source).components().count() == 1 && is_manifest(OsStr::new(source))
}

fn keyword(instruction: &str) -> String {
    let word = instruction.split_whitespace().next().unwrap_or_default();
    word.to_ascii_uppercase()
}

/// The words of an instruction without keyword, flags and continuations.
fn words(instruction: &str) -> impl Iterator<Item = &str> {
    all_words(instruction).skip_while(|word| word.starts_with("--"))
}

fn flags(instruction: &str) -> impl Iterator<Item = &str> {
    all_words(instruction).take_while(|word| word.starts_with("--"))
}

fn all_words(instruction: &str) -> impl Iterator<Item = &str> {
    instruction
        .split_whitespace()
        .skip(1)
        .filter(|word| *word != "\\")
}

/// Instructions with the lines that they are continued on; comments and empty lines between them go, the
/// parser directives at the top stay with the first.
fn instructions(text: &str) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    let mut open = false;
    let backquote = text.lines().take(3).any(|line| {
        let directive: String = line.split_whitespace().collect();
        directive.eq_ignore_ascii_case("#escape=`")
    });
    let escape = if backquote { '`' } else { '\\' };
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            let directive = list.is_empty() && trimmed.contains("escape=");
            if directive {
                list.push(format!("{trimmed}\n"));
            }
            continue;
        }
        match list.last_mut() {
            Some(last) if open => last.push_str(&format!("{line}\n")),
            _ => list.push(format!("{}\n", line.trim_start())),
        }
        open = trimmed.ends_with(escape);
    }
    list
}

#[cfg(test)]
mod tests;
