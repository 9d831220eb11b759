//! The search must be able to fail: something is planted wherever that can be done from the outside, and has
//! to be found there.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
};

use rsfaas_tests::canary::{Needles, Report, Secret, Stack, search};

use super::subject::random;
use crate::{
    error::{At as _, Error},
    process,
    setup::docker,
    testbed::Testbed,
};

/// The places that must report a hit, each for what was planted there.
const PLANTED: [&str; 8] = [
    "engine's folder",
    "registry's folder",
    "agent's folders",
    "testbed's logs",
    "temporary folders",
    "image history, build cache",
    "kernel log",
    "raw disk, free blocks too",
];

/// Plants, searches, takes away again, and tells where nothing was found.
pub(super) fn control(
    testbed: &Testbed,
    folder: &Path,
    agents: &Path,
    stack: &Stack,
) -> Result<(Report, Vec<String>), Error> {
    let text = random(16)?;
    let deleted = random(16)?;
    let image = format!("{}/canary-planted:1", testbed.registry_prefix);
    let notes = [
        agents.join("planted"),
        std::env::temp_dir().join(format!("planted-{}", std::process::id())),
    ];
    for note in &notes {
        fs::write(note, &text).at(note)?;
    }
    build(&folder.join("planted"), &image, &text)?;
    call(testbed, &text)?;
    let log = Path::new("/dev/kmsg");
    let written = OpenOptions::new()
        .write(true)
        .open(log)
        .and_then(|mut log| writeln!(log, "{text}"));
    written.at(log)?;
    if let Some(testbed) = &testbed.folder {
        delete(&testbed.join("data/planted"), &deleted)?;
    }
    let needles = Needles::new(vec![
        Secret::new("planted", text.as_bytes())?,
        Secret::new("deleted", deleted.as_bytes())?,
    ])?;
    let report = search(&stack.files_and_disk()?, &needles);
    for note in &notes {
        fs::remove_file(note).at(note)?;
    }
    process::output(docker().args(["image", "rm", "--force", &image]))?;
    let missed = missed(&report);
    Ok((report, missed))
}

/// The places that should have found something and have not.
fn missed(report: &Report) -> Vec<String> {
    let found = |place: &str| {
        // The text that is on the disk in files does not count as found in free blocks.
        let secret = if place.starts_with("raw disk") {
            "deleted"
        } else {
            "planted"
        };
        report
            .hits()
            .any(|(at, hit)| at == place && hit.secret == secret)
    };
    let there = |place: &str| {
        report
            .findings
            .iter()
            .any(|finding| finding.place == place && finding.absent.is_none())
    };
    PLANTED
        .iter()
        .filter(|place| there(place) && !found(place))
        .map(|place| format!("{place}: what was planted there was not found"))
        .collect()
}

/// A layer with the text in it, a step of the build cache and a history that name it, and the layer's blob.
fn build(folder: &Path, image: &str, text: &str) -> Result<(), Error> {
    fs::create_dir_all(folder).at(folder)?;
    let (content, dockerfile) = (folder.join("content"), folder.join("Dockerfile"));
    fs::write(&content, text).at(content)?;
    let steps = format!("FROM scratch\nCOPY content /{text}\n");
    fs::write(&dockerfile, steps).at(dockerfile)?;
    process::output(
        docker()
            .args(["build", "--quiet", "--tag", image])
            .arg(folder),
    )?;
    process::output(docker().args(["push", "--quiet", image]))?;
    fs::remove_dir_all(folder).at(folder)
}

/// A call of a function of that name, which is not there: the provider logs it.
fn call(testbed: &Testbed, name: &str) -> Result<(), Error> {
    let host = testbed
        .gateway
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let mut answer = Vec::new();
    TcpStream::connect(host)
        .and_then(|mut stream| {
            write!(
                stream,
                "GET /function/{name} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            )?;
            stream.read_to_end(&mut answer)
        })
        .at(host)
        .map(drop)
}

/// A file that was on the disk, and is no more.
fn delete(path: &Path, text: &str) -> Result<(), Error> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.at(path)?;
    process::output(Command::new("sync").arg("--file-system").arg(path))?;
    fs::remove_file(path).at(path)
}
