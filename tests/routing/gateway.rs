//! A real gateway, asked where requests lead.
use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

/// What became of a request.
pub(crate) struct Outcome {
    pub(crate) answered: bool,
    /// The functions that it has reached, without namespaces.
    pub(crate) reached: Vec<String>,
}

/// A real gateway that can be asked.
#[derive(Clone)]
pub(crate) struct Gateway {
    gateway: PathBuf,
    routing: PathBuf,
}

impl Gateway {
    /// The one on the search path.
    pub(crate) fn find() -> Option<Self> {
        let find = |program: &str| {
            std::env::split_paths(&std::env::var_os("PATH")?)
                .map(|folder| folder.join(program))
                .find(|path| path.is_file())
        };
        Some(Self {
            gateway: find("gateway")?,
            routing: find("routing")?,
        })
    }

    /// What becomes of each of some requests.
    pub(crate) fn ask(&self, requests: &[Vec<u8>]) -> Vec<Outcome> {
        let mut child = Command::new(&self.routing)
            .arg(&self.gateway)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let text: String = requests.iter().map(|bytes| hex(bytes) + "\n").collect();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "{}", output.status);
        let answers: Vec<Outcome> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(status, reached)| Outcome {
                answered: status != "000",
                reached: names(reached),
            })
            .collect();
        assert_eq!(answers.len(), requests.len());
        answers
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',')
        .filter(|name| *name != "-")
        .map(|name| name.split('.').next().unwrap_or_default().to_owned())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
