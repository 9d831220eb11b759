//! The search must be able to fail: something is planted wherever that can be done from the outside, and has
//! to be found there.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use rsfaas_tests::{
    canary::{
        Needles, Place as _, Report, Secret, Stack,
        places::{Blocks, Files},
        search,
    },
    random,
};

use crate::{
    error::{At as _, Error},
    process,
    setup::docker,
    testbed::Testbed,
};

/// What each secret is called in reports: the one that parts of OpenFaaS and the system's logs are told of, the one that
/// is in files, and the one that is only in a file that was deleted again.
const TOLD: &str = "planted";
const NOTE: &str = "note";
const DELETED: &str = "deleted";
/// Of an OpenFaaS that was there before, nothing is put into its folders.
const NOBODYS: [&str; 3] = ["agent's folders", "temporary folders", "/var/log"];

/// What was planted, and where.
struct Planted {
    /// Places that were told, by name; with the reason where that failed.
    places: Vec<(&'static str, Result<(), Error>)>,
    /// Files with the places in which they lie.
    notes: Vec<(String, PathBuf)>,
}

/// Plants, searches, takes away again, and tells where nothing was found.
pub(super) fn control(
    testbed: &Testbed,
    folder: &Path,
    agents: &Path,
    stack: &Stack,
) -> Result<(Report, Vec<String>), Error> {
    let text = || random::hex(16).at(random::SOURCE);
    let (told, note, deleted) = (text()?, text()?, text()?);
    // Gone with the end of this.
    let notes = write_notes(testbed, agents, &stack.folders()?, &note)?;
    let paths = notes
        .iter()
        .map(|(place, note)| (place.clone(), note.0.clone()));
    let mut planted = Planted {
        places: Vec::new(),
        notes: paths.collect(),
    };
    let kernel = write_line(Path::new("/dev/kmsg"), &told);
    planted.places.push(("kernel log", kernel));
    let journal = process::feed(&mut Command::new("systemd-cat"), told.as_bytes());
    planted.places.push(("journal", journal.map(drop)));
    let image = format!("{}/canary-planted:1", testbed.registry_prefix);
    // What belongs to others is not built, pushed and called on.
    if let Some(state) = &testbed.folder {
        let base = format!("{}/python:3", testbed.registry_prefix);
        build(&folder.join("planted"), &base, &image, &told)?;
        call(testbed, &told)?;
        delete(&state.join("data/planted"), &deleted)?;
        let places = [
            "engine's folder",
            "registry's folder",
            "testbed's logs",
            "image history",
            "build cache",
        ];
        planted.places.extend(places.map(|place| (place, Ok(()))));
    } else {
        println!("the parts of OpenFaaS: nothing was planted there, since they are others'");
    }
    let needles = Needles::new(vec![
        Secret::new(TOLD, told.as_bytes())?,
        Secret::new(NOTE, note.as_bytes())?,
        Secret::new(DELETED, deleted.as_bytes())?,
    ])?;
    let report = search(&stack.files_and_disk()?, &needles);
    if testbed.folder.is_some() {
        process::output(docker().args(["image", "rm", "--force", &image]))?;
    }
    let missed = planted.missed(&report);
    Ok((report, missed))
}

impl Planted {
    /// The places that should have found something and have not. Those that are not there are told as such.
    fn missed(&self, report: &Report) -> Vec<String> {
        let is_there = |place: &str| report.absent().all(|(absent, _)| absent != place);
        let found = |place: &str, secret: &str, file: Option<&Path>| {
            report.hits().any(|(at, hit)| {
                at == place
                    && hit.secret == secret
                    && file.is_none_or(|file| Path::new(&hit.at) == file)
            })
        };
        let mut missed = Vec::new();
        for (place, planted) in self.places.iter().filter(|(place, _)| is_there(place)) {
            match planted {
                Ok(()) if found(place, TOLD, None) => {}
                Ok(()) => missed.push(format!("{place}: what was planted there was not found")),
                Err(error) => missed.push(format!(
                    "{place}: nothing could be planted there, so nothing shows that it is searched: {error}"
                )),
            }
        }
        for (place, file) in &self.notes {
            if !found(place, NOTE, Some(file)) {
                let file = file.display();
                missed.push(format!("{place}: {file} was planted there and not found"));
            }
        }
        // In its files the disk has the rest, too: only what was deleted shows that free blocks are searched.
        let disk = report.findings.iter().any(|it| it.place == Blocks::NAME);
        if disk && is_there(Blocks::NAME) && !found(Blocks::NAME, DELETED, None) {
            missed.push(format!(
                "{}: what was deleted there was not found",
                Blocks::NAME
            ));
        }
        missed
    }
}

/// A file in every folder that is searched, and one in the agent's state; each with its place.
fn write_notes(
    testbed: &Testbed,
    agents: &Path,
    folders: &[Files],
    text: &str,
) -> Result<Vec<(String, Note)>, Error> {
    let is_free = |files: &&Files| testbed.folder.is_some() || NOBODYS.contains(&files.name());
    let roots = folders.iter().filter(is_free).flat_map(|files| {
        let roots = files.roots().iter();
        roots.map(|root| (files.name(), root.as_path()))
    });
    let folders = roots.chain([(NOBODYS[0], agents)]);
    // Some are not there, which is told of the place.
    let folders = folders.filter(|(_, folder)| folder.is_dir());
    let notes = folders.map(|(place, folder)| Ok((place.to_owned(), Note::write(folder, text)?)));
    notes.collect()
}

/// A file that is gone again when this is dropped.
struct Note(PathBuf);

impl Note {
    fn write(folder: &Path, text: &str) -> Result<Self, Error> {
        let note = Self(folder.join(format!("planted-{}", std::process::id())));
        fs::write(&note.0, text).at(&note.0)?;
        Ok(note)
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("warning: {} is left: {error}", self.0.display());
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rsfaas_tests::canary::{Finding, Hit, Spelling};

    use super::*;

    const FILE: &str = "/var/log/planted";

    /// The journal was told, or could not be, and a note lies in a folder of logs.
    fn planted(journal: Result<(), Error>) -> Planted {
        Planted {
            places: vec![("journal", journal)],
            notes: vec![("/var/log".to_owned(), FILE.into())],
        }
    }

    /// What a place came to in which a secret was found somewhere.
    fn found(place: &str, secret: &'static str, at: &str) -> Finding {
        let hit = Hit {
            secret,
            spelling: Spelling::Plain,
            at: at.to_owned(),
            offset: 0,
        };
        Finding {
            place: place.to_owned(),
            hits: vec![hit],
            ..Finding::default()
        }
    }

    fn absent(place: &str) -> Finding {
        Finding {
            place: place.to_owned(),
            absent: Some("there is none".to_owned()),
            ..Finding::default()
        }
    }

    /// The places that missed something, where these came to that, and otherwise everything was found.
    fn missed(planted: &Planted, others: Vec<Finding>) -> Vec<String> {
        let mut findings = vec![
            found("journal", TOLD, "journal"),
            found("/var/log", NOTE, FILE),
            found(Blocks::NAME, DELETED, "disk"),
        ];
        findings.retain(|it| others.iter().all(|other| other.place != it.place));
        findings.extend(others);
        let time = Duration::ZERO;
        let missed = planted.missed(&Report { findings, time });
        let place = |problem: String| problem.split(": ").next().unwrap_or_default().to_owned();
        missed.into_iter().map(place).collect()
    }

    #[test]
    fn what_was_planted_and_is_not_found_where_it_is_is_a_problem() {
        let planted = planted(Ok(()));
        assert_eq!(missed(&planted, Vec::new()), [""; 0]);
        for elsewhere in [
            found("journal", NOTE, "journal"),
            found("/var/log", NOTE, "/var/log/other"),
            found(Blocks::NAME, TOLD, "disk"),
        ] {
            let place = elsewhere.place.clone();
            assert_eq!(missed(&planted, vec![elsewhere]), [place]);
        }
    }

    #[test]
    fn where_nothing_could_be_planted_is_a_problem_unless_there_is_no_such_place() {
        let planted = planted(Err(Error::Needs("a journal".to_owned())));
        assert_eq!(missed(&planted, Vec::new()), ["journal"]);
        assert_eq!(missed(&planted, vec![absent("journal")]), [""; 0]);
        assert_eq!(missed(&planted, vec![absent(Blocks::NAME)]), ["journal"]);
    }
}
