//! The builder's cache, record by record, by means of the docker client that faas-cli builds with.
use std::{collections::BTreeSet, process::Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::image::ImageError;

/// A record of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    id: String,
    parents: Vec<String>,
    /// When it was made: text that sorts by time.
    created: String,
    /// Whether the record holds files of a build context: the context itself, or what was copied of it.
    of_context: bool,
    /// Whether a layer of an image that is there has the same content.
    shared: bool,
}

/// All records.
pub(super) async fn records() -> Result<Vec<Record>, ImageError> {
    let text = docker(&[
        "system",
        "df",
        "--verbose",
        "--format",
        "{{json .BuildCache}}",
    ])
    .await?;
    let list: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
    Ok(list.iter().map(Record::read).collect())
}

/// Removes a record that no other is made from.
pub(super) async fn prune(id: &str) -> Result<(), ImageError> {
    let filter = format!("id={id}");
    docker(&["builder", "prune", "--all", "--force", "--filter", &filter]).await?;
    Ok(())
}

/// The records that hold files of a build context and are nobody's else, with those that are made from them, in
/// the order in which they can be removed. Those of the youngest come first: among them are a function's that was
/// built a moment ago, and further down other functions', whose next build would miss them.
pub(super) fn of_contexts(records: &[Record]) -> Vec<String> {
    let mut own: Vec<&Record> = records
        .iter()
        .filter(|it| it.of_context && !it.shared)
        .collect();
    own.sort_by(|a, b| b.created.cmp(&a.created));
    let mut order = Vec::new();
    for record in own {
        let with_descendants = in_order(records, [record.id.clone()].into());
        let more: Vec<String> = with_descendants
            .into_iter()
            .filter(|id| !order.contains(id))
            .collect();
        order.extend(more);
    }
    order
}

/// Some records with their descendants, children first.
pub(super) fn in_order(records: &[Record], mut doomed: BTreeSet<String>) -> Vec<String> {
    let mut order = Vec::new();
    let mut grown = true;
    while grown {
        grown = false;
        for record in records {
            let is_child = record.parents.iter().any(|parent| doomed.contains(parent));
            grown |= is_child && doomed.insert(record.id.clone());
        }
    }
    while !doomed.is_empty() {
        let has_child = |id: &String| {
            let children = records.iter().filter(|it| it.parents.contains(id));
            children.into_iter().any(|child| doomed.contains(&child.id))
        };
        let leaves: Vec<String> = doomed.iter().filter(|id| !has_child(id)).cloned().collect();
        if leaves.is_empty() {
            // Only a cache whose records are each other's parents would come to this.
            break;
        }
        doomed.retain(|id| !leaves.contains(id));
        order.extend(leaves);
    }
    order
}

impl Record {
    fn read(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default();
        let parents = text("Parent").split(',').chain(
            value["Parents"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str),
        );
        let kind = text("CacheType");
        let description = text("Description");
        Self {
            id: text("ID").to_owned(),
            parents: parents
                .map(|id| id.trim().to_owned())
                .filter(|id| !id.is_empty())
                .collect(),
            created: text("CreatedAt").to_owned(),
            of_context: kind == "source.local"
                || description == "fileop target"
                || ["COPY ", "ADD "]
                    .iter()
                    .any(|copy| description.contains(copy)),
            shared: text("Shared") == "true" || value["Shared"] == true,
        }
    }
}

async fn docker(arguments: &[&str]) -> Result<String, ImageError> {
    let failed = |said: String| ImageError::Cache { said };
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(said.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(id: &str, parent: &str, description: &str, shared: &str) -> Record {
        Record::read(&json!({
            "ID": id, "Parent": parent, "CacheType": "regular", "Description": description,
            "Shared": shared,
        }))
    }

    #[test]
    fn what_was_made_from_a_copied_file_goes_first() {
        let records = [
            record("base", "", "from local", "true"),
            record("copy", "base", "fileop target", "false"),
            record("built", "copy", "mount / from exec go build", "false"),
            record("used", "base", "fileop target", "true"),
        ];
        assert_eq!(of_contexts(&records), ["built", "copy"]);
    }

    #[test]
    fn what_was_copied_last_is_taken_first() {
        let copy = |id: &str, created: &str| {
            Record::read(&json!({
                "ID": id, "Description": "fileop target", "Shared": "false", "CreatedAt": created,
            }))
        };
        let records = [
            copy("before", "2026-11-25 02:33:12.5 +0000 UTC"),
            copy("last", "2026-11-25 02:33:12.51 +0000 UTC"),
            copy("first", "2026-11-24 12:00:00 +0000 UTC"),
        ];
        assert_eq!(of_contexts(&records), ["last", "before", "first"]);
    }

    #[test]
    fn contexts_are_known_by_their_type() {
        let context =
            json!({"ID": "a", "Parent": "", "CacheType": "source.local", "Description": "x"});
        assert!(Record::read(&context).of_context);
        assert!(!record("b", "a", "mount / from exec", "false").of_context);
    }
}
