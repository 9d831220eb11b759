//! Running other programs, with errors that name the command line.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use crate::error::{At as _, Error};

/// Runs a program to its end; what it writes is shown.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|source| start(command, source))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(command, &status.to_string(), &[]))
    }
}

/// Runs a program to its end and returns what it wrote to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| start(command, source))?;
    text(command, &output)
}

/// Runs a program to its end; what it writes to stdout is shown line by line, and returned.
pub(crate) fn run_watched(command: &mut Command) -> Result<String, Error> {
    match watch_to_end(command)? {
        (all, status) if status.success() => Ok(all),
        (_, status) => Err(failed(command, &status.to_string(), &[])),
    }
}

/// The same, however it ends.
pub(crate) fn watch(command: &mut Command) -> Result<String, Error> {
    Ok(watch_to_end(command)?.0)
}

fn watch_to_end(command: &mut Command) -> Result<(String, ExitStatus), Error> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| start(command, source))?;
    let mut all = String::new();
    for line in child.stdout.take().into_iter().flat_map(lossy_lines) {
        println!("{line}");
        all.push_str(&line);
        all.push('\n');
    }
    let status = child.wait().map_err(|source| start(command, source))?;
    Ok((all, status))
}

/// Lines as they come; what is not UTF-8 in them is replaced.
fn lossy_lines(from: impl Read) -> impl Iterator<Item = String> {
    BufReader::new(from)
        .split(b'\n')
        .map_while(Result::ok)
        .map(|line| String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// A program that runs while other things are done. What it writes goes to a file until its end. Killed when this
/// is dropped before.
pub(crate) struct Background {
    command: Command,
    child: Child,
    output: PathBuf,
}

impl Background {
    /// Starts a program.
    pub(crate) fn start(mut command: Command, output: &Path) -> Result<Self, Error> {
        let file = File::create(output).at(output)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().at(output)?)
            .stderr(file);
        let child = command.spawn().map_err(|source| start(&command, source))?;
        Ok(Self {
            command,
            child,
            output: output.to_owned(),
        })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, and shows what it wrote.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let status = self.child.wait().at(&self.output)?;
        let written = fs::read(&self.output).at(&self.output)?;
        print!("{}", String::from_utf8_lossy(&written));
        if status.success() {
            Ok(())
        } else {
            Err(failed(&self.command, &status.to_string(), &[]))
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It has ended unless something went wrong here, which is told already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program that is given `input`, and returns what it wrote to stdout.
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Result<String, Error> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| start(command, source))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading tells why by its exit code.
        let _ = stdin.write_all(input);
    }
    let output = child
        .wait_with_output()
        .map_err(|source| start(command, source))?;
    text(command, &output)
}

fn text(command: &Command, output: &Output) -> Result<String, Error> {
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(command, &output.status.to_string(), &output.stderr))
    }
}

/// Whether a program ends well; what it writes is not shown, and not being there counts as no.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The cargo that runs this program, or the one on the search path.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program on the search path, in cargo's own folder of installed programs, or where
/// administration programs lie.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    find_all(program).next()
}

/// All programs of a name in those places, in their order.
pub(crate) fn find_all(program: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path)
        .chain(cargo_bin())
        .chain(["/usr/sbin", "/sbin", "/usr/local/go/bin"].map(PathBuf::from))
        .collect();
    folders
        .into_iter()
        .map(move |folder| folder.join(program))
        .filter(|candidate| candidate.is_file())
}

/// The name of this program's file. Cargo may put another build of it there meanwhile: then the kernel tells of the file that
/// is gone, whose name is the right one still.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn own() -> Result<PathBuf, Error> {
    env::current_exe().at("/proc/self/exe").map(replaced)
}

fn replaced(file: PathBuf) -> PathBuf {
    let name = file.to_str().and_then(|it| it.strip_suffix(" (deleted)"));
    name.map(PathBuf::from).unwrap_or(file)
}

/// One that the set-up installs.
///
/// # Errors
/// When it is not there.
pub(crate) fn installed(program: &str) -> Result<PathBuf, Error> {
    find(program).ok_or_else(|| Error::Missing {
        what: program.to_owned(),
        command: "cargo xtask setup",
    })
}

/// Where `cargo install` puts programs.
pub(crate) fn cargo_bin() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .map(|home| home.join("bin"))
}

/// The search path with some folders in front.
pub(crate) fn path_with(first: &[&Path]) -> OsString {
    let rest = env::var_os("PATH").unwrap_or_default();
    let folders = first
        .iter()
        .map(PathBuf::from)
        .chain(env::split_paths(&rest));
    // Joining fails only for a folder with a colon in its name, which cannot be on a search path.
    env::join_paths(folders).unwrap_or(rest.clone())
}

fn start(command: &Command, source: std::io::Error) -> Error {
    Error::Start {
        program: lossy(command.get_program()),
        source,
    }
}

fn failed(command: &Command, status: &str, stderr: &[u8]) -> Error {
    let line = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(lossy)
        .collect::<Vec<_>>()
        .join(" ");
    Error::Failed {
        command: line,
        status: status.to_owned(),
        detail: detail(stderr),
    }
}

/// The last few lines of what a failed program wrote.
fn detail(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(5)..];
    if last.is_empty() {
        String::new()
    } else {
        format!(":\n  {}", last.join("\n  "))
    }
}

fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_shows_the_end_of_its_complaint() {
        let error = output(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"]));
        assert_eq!(
            error.unwrap_err().to_string(),
            "`sh -c echo no such thing >&2; exit 3` failed (exit status: 3):\n  no such thing"
        );
    }

    #[test]
    fn a_program_in_whose_place_another_build_was_put_is_known_by_its_place() {
        let file = PathBuf::from("/t/debug/xtask");
        assert_eq!(replaced("/t/debug/xtask (deleted)".into()), file);
        assert_eq!(replaced(file.clone()), file);
    }

    #[test]
    fn a_program_that_is_not_there_points_to_the_set_up() {
        let error = run(&mut Command::new("rsfaas-no-such-program"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`rsfaas-no-such-program` could not be started"),
            "{error}"
        );
        assert!(error.contains("cargo xtask setup"), "{error}");
    }

    #[test]
    fn a_watched_program_is_heard_and_fails_as_it_ends() {
        let watched = |script| run_watched(Command::new("sh").args(["-c", script]));
        assert_eq!(watched("echo word").unwrap(), "word\n");
        watched("echo word; exit 3").unwrap_err();
    }

    #[test]
    fn a_fed_program_reads_its_input() {
        assert_eq!(feed(&mut Command::new("cat"), b"word").unwrap(), "word");
    }
}
