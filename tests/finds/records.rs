//! What Docker Engine tells.
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    thread,
};

use libtest_mimic::Trial;
use rsfaas_tests::canary::places::{BuildCache, EngineRecords};

use crate::{Result, hits, secret};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_secret_in_an_images_history_is_found_there_alone,
        a_secret_in_the_build_cache_is_found_there_alone,
    ]
}

fn a_secret_in_an_images_history_is_found_there_alone() -> Result {
    let secret = secret()?;
    let history = format!(r#"[{{"CreatedBy":"COPY content /{secret}"}}]"#);
    let engine = Engine::telling([("/images/sha256:0/history", history)])?;
    assert_eq!(hits(engine.records(), &secret)?, 2);
    assert_eq!(hits(BuildCache(engine.records()), &secret)?, 0);
    Ok(())
}

/// Whatever else an older engine tells with it.
fn a_secret_in_the_build_cache_is_found_there_alone() -> Result {
    let (secret, other) = (secret()?, secret()?);
    for field in ["BuildCache", "BuildCacheUsage"] {
        let usage = format!(
            r#"{{"Images":[{{"Labels":"{other}"}}],"{field}":[{{"Description":"mount / from exec /bin/sh -c : {secret}"}}]}}"#
        );
        let engine = Engine::telling([("/system/df", usage)])?;
        assert_eq!(hits(BuildCache(engine.records()), &secret)?, 2);
        assert_eq!(hits(BuildCache(engine.records()), &other)?, 0);
        assert_eq!(hits(engine.records(), &secret)?, 0);
    }
    Ok(())
}

/// A Docker Engine with one image.
struct Engine(tempfile::TempDir);

impl Engine {
    /// One that tells this at some paths.
    fn telling<const N: usize>(told: [(&'static str, String); N]) -> Result<Self> {
        let engine = Self(tempfile::tempdir()?);
        let listener = UnixListener::bind(engine.records().socket)?;
        let mut told = BTreeMap::from(told);
        told.insert("/images/json", r#"[{"Id":"sha256:0"}]"#.into());
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream)
                    .lines()
                    .map_while(std::io::Result::ok);
                let line = lines.next().unwrap_or_default();
                while lines.next().is_some_and(|line| !line.is_empty()) {}
                let path = line.split([' ', '?']).nth(1).unwrap_or_default();
                let body = told.get(path).map_or("[]", String::as_str);
                // Who asks hears of it.
                let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{body}");
            }
        });
        Ok(engine)
    }

    fn records(&self) -> EngineRecords {
        EngineRecords {
            socket: self.0.path().join("docker.sock"),
        }
    }
}
