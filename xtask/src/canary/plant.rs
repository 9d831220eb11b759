//! The search must be able to fail: something is planted wherever that can be done from the outside, and has
//! to be found there.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
};

use rsfaas_tests::{
    canary::{Needles, Report, Secret, Stack, search},
    random,
};

use crate::{
    error::{At as _, Error},
    process,
    setup::docker,
    testbed::Testbed,
};

const DISK: &str = "raw disk, free blocks too";

/// What was planted, and where.
struct Planted {
    text: String,
    /// Only in a file that was deleted again.
    deleted: String,
    /// Places in which the text must be found, by name.
    places: Vec<&'static str>,
}

/// Plants, searches, takes away again, and tells where nothing was found.
pub(super) fn control(
    testbed: &Testbed,
    folder: &Path,
    agents: &Path,
    stack: &Stack,
) -> Result<(Report, Vec<String>), Error> {
    let mut planted = Planted {
        text: random::hex(16).at(random::SOURCE)?,
        deleted: random::hex(16).at(random::SOURCE)?,
        places: vec!["agent's folders", "temporary folders"],
    };
    let text = &planted.text.clone();
    let image = format!("{}/canary-planted:1", testbed.registry_prefix);
    let notes = [
        agents.join("planted"),
        std::env::temp_dir().join(format!("planted-{}", std::process::id())),
    ];
    for note in &notes {
        fs::write(note, text).at(note)?;
    }
    let kernel = write_line(Path::new("/dev/kmsg"), text);
    planted.planted("kernel log", kernel);
    let journal = process::feed(&mut Command::new("systemd-cat"), text.as_bytes());
    planted.planted("journal", journal.map(drop));
    // What belongs to others is not built, pushed and called on.
    if let Some(state) = &testbed.folder {
        let base = format!("{}/python:3", testbed.registry_prefix);
        build(&folder.join("planted"), &base, &image, text)?;
        call(testbed, text)?;
        delete(&state.join("data/planted"), &planted.deleted)?;
        planted.places.extend([
            "engine's folder",
            "registry's folder",
            "testbed's logs",
            "image history",
            "build cache",
        ]);
    } else {
        println!(
            "engine, registry, logs and disk: nothing was planted there, since they are others'"
        );
    }
    let needles = Needles::new(vec![
        Secret::new("planted", planted.text.as_bytes())?,
        Secret::new("deleted", planted.deleted.as_bytes())?,
    ])?;
    let report = search(&stack.files_and_disk()?, &needles);
    for note in &notes {
        fs::remove_file(note).at(note)?;
    }
    if testbed.folder.is_some() {
        process::output(docker().args(["image", "rm", "--force", &image]))?;
    }
    let missed = planted.missed(&report);
    Ok((report, missed))
}

impl Planted {
    /// Where nothing can be planted, nothing shows that a search finds it.
    fn planted(&mut self, place: &'static str, done: Result<(), Error>) {
        match done {
            Ok(()) => self.places.push(place),
            Err(error) => println!("{place}: nothing could be planted there: {error}"),
        }
    }

    /// The places that should have found something and have not.
    fn missed(&self, report: &Report) -> Vec<String> {
        let found = |place: &str, secret: &str| {
            report
                .hits()
                .any(|(at, hit)| at == place && hit.secret == secret)
        };
        // In its files the disk has the text too: only what was deleted shows that free blocks are searched.
        let disk = report
            .findings
            .iter()
            .find(|finding| finding.place == DISK && finding.absent.is_none());
        let wanted = self.places.iter().map(|place| (*place, "planted"));
        wanted
            .chain(disk.map(|_| (DISK, "deleted")))
            .filter(|(place, secret)| !found(place, secret))
            .map(|(place, secret)| {
                format!("{place}: what was planted there ({secret}) was not found")
            })
            .collect()
    }
}

fn write_line(path: &Path, text: &str) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| writeln!(file, "{text}"))
        .at(path)
}

/// A layer with the text in it, a step of the build cache and a history that name it, and the layer's blob. Of a copy
/// older builders' records do not tell what was copied, but of a command they do.
fn build(folder: &Path, base: &str, image: &str, text: &str) -> Result<(), Error> {
    fs::create_dir_all(folder).at(folder)?;
    let (content, dockerfile) = (folder.join("content"), folder.join("Dockerfile"));
    fs::write(&content, text).at(content)?;
    let steps = format!("FROM {base}\nCOPY content /{text}\nRUN : {text}\n");
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
