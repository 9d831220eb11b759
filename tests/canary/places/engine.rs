//! What Docker Engine tells of its images, their history, its containers and volumes, and of its build cache.
use std::{
    collections::BTreeSet,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use serde_json::Value;

use crate::canary::{Place, Scan, Unsearchable};

/// For hangs only.
const PATIENCE: Duration = Duration::from_secs(60);

/// Docker Engine's records.
#[derive(Debug, Clone)]
pub struct EngineRecords {
    /// The socket on which it listens.
    pub socket: PathBuf,
}

impl EngineRecords {
    /// The engine's folder.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn folder(&self) -> Result<PathBuf, Unsearchable> {
        let told = json(&self.ask("/info")?)?;
        match told["DockerRootDir"].as_str() {
            Some(folder) => Ok(folder.into()),
            None => Err(Unsearchable::because("Docker Engine", "it has no folder")),
        }
    }

    fn search(&self, scan: &mut Scan<'_>, path: &str) -> Result<Vec<u8>, Unsearchable> {
        let body = self.ask(path)?;
        scan.item();
        scan.bytes(&path, 0, &body);
        Ok(body)
    }

    /// One request of the engine's API (<https://docs.docker.com/engine/api/>) on a connection of its own.
    fn ask(&self, path: &str) -> Result<Vec<u8>, Unsearchable> {
        let failed = || Unsearchable::at(format!("Docker Engine, {path}"));
        let answer = self.exchange(path).map_err(failed())?;
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let (head, body) = answer.split_at(end.map_or(answer.len(), |end| end + 4));
        let head = String::from_utf8_lossy(head);
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.to_vec()),
            // An image or a container that was removed meanwhile has no record.
            Some("404") if path.ends_with("/json") || path.ends_with("/history") => Ok(Vec::new()),
            _ => {
                let line = head.lines().next().unwrap_or("no answer").to_owned();
                Err(failed()(io::Error::other(line)))
            }
        }
    }

    fn exchange(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // Of this version answers are whole, and end with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

impl Place for EngineRecords {
    fn name(&self) -> &'static str {
        "image history"
    }

    fn has_marker(&self) -> bool {
        // A function's name is its image's.
        true
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        let images = ids(&self.search(scan, "/images/json?all=true")?)?;
        for image in images {
            for record in ["json", "history"] {
                self.search(scan, &format!("/images/{image}/{record}"))?;
            }
        }
        let containers = ids(&self.search(scan, "/containers/json?all=true")?)?;
        for container in containers {
            self.search(scan, &format!("/containers/{container}/json"))?;
        }
        self.search(scan, "/volumes").map(drop)
    }
}

/// The steps that Docker Engine's builder keeps.
#[derive(Debug, Clone)]
pub struct BuildCache(pub EngineRecords);

impl BuildCache {
    /// With every record; engines that know neither of these (before API 1.42) tell all.
    const PATH: &str = "/system/df?type=build-cache&verbose=true";
    /// Where the records are, in answers of an API before 1.52 and after.
    const FIELDS: [&str; 2] = ["BuildCache", "BuildCacheUsage"];
}

impl Place for BuildCache {
    fn name(&self) -> &'static str {
        "build cache"
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        let usage = json(&self.0.ask(Self::PATH)?)?;
        for field in Self::FIELDS {
            if let Some(records) = usage.get(field) {
                scan.item();
                scan.bytes(&field, 0, records.to_string().as_bytes());
            }
        }
        Ok(())
    }
}

fn json(bytes: &[u8]) -> Result<Value, Unsearchable> {
    serde_json::from_slice(bytes)
        .map_err(|error| Unsearchable::new("Docker Engine's answer", error.into()))
}

/// The IDs in a list of things.
fn ids(list: &[u8]) -> Result<BTreeSet<String>, Unsearchable> {
    let list = json(list)?;
    let things = list.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(things
        .iter()
        .filter_map(|thing| thing["Id"].as_str())
        .map(str::to_owned)
        .collect())
}
