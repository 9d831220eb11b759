//! `keygen`, `open` and `inspect` as a user runs them.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]
use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rsfaas::seal::{folder::seal_built, key::Key};

const SOURCE: &str = "def handle(req): return 'canary-77aa'\n";

struct Host {
    root: tempfile::TempDir,
}

impl Host {
    /// A key, `pydict` sealed with it (one file), `big` (three files), and another key.
    fn new() -> Self {
        let host = Self {
            root: tempfile::tempdir().unwrap(),
        };
        let key = Key::generate().unwrap();
        host.key_file("right.key", &key);
        host.key_file("other.key", &Key::generate().unwrap());
        for (name, files) in [
            ("pydict", ["handler.py"].as_slice()),
            ("big", &["a.py", "b.py", "p/c.py"]),
        ] {
            for file in files {
                let path = host.path(name).join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, SOURCE).unwrap();
            }
            seal_built(&host.path(name), name, &key, 1_700_000_000, None, &|_| {
                false
            })
            .unwrap();
        }
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn key_file(&self, name: &str, key: &Key) {
        fs::write(self.path(name), format!("{}\n", *key.to_text())).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rsfaas"));
        command
            .args(args.split_whitespace())
            .current_dir(self.root.path());
        command
    }

    fn run(&self, args: &str) -> Output {
        self.command(args).output().unwrap()
    }

    /// Names in a folder, hidden ones too.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn keygen_writes_a_key_that_only_its_owner_reads_and_tells_its_id() {
    let host = Host::new();
    let output = host.run("keygen -o new.key");
    assert_eq!(code(&output), 0);
    assert_eq!(mode(&host.path("new.key")), 0o600);
    let text = fs::read(host.path("new.key")).unwrap();
    let id = Key::parse(&text).unwrap().id().to_string();
    assert_eq!(stderr(&output), format!("key {id} written to new.key\n"));
    assert_eq!(stdout(&output), "");
}

#[test]
fn keygen_without_a_file_prints_the_key_alone_to_standard_output() {
    let host = Host::new();
    let before = host.names(".");
    for arguments in ["keygen", "keygen -o -"] {
        let output = host.run(arguments);
        let key = Key::parse(&output.stdout).unwrap();
        assert_eq!(stdout(&output), format!("{}\n", *key.to_text()));
        assert_eq!(stderr(&output), format!("key {}\n", key.id()));
    }
    assert_eq!(host.names("."), before);
}

#[test]
fn keygen_keeps_a_key_that_is_there_unless_forced() {
    let host = Host::new();
    let before = fs::read(host.path("right.key")).unwrap();
    let output = host.run("keygen -o right.key");
    assert_eq!(code(&output), 5);
    assert!(stderr(&output).starts_with("error: right.key exists already; "));
    assert_eq!(fs::read(host.path("right.key")).unwrap(), before);
    assert_eq!(code(&host.run("keygen -o right.key --force")), 0);
    assert_ne!(fs::read(host.path("right.key")).unwrap(), before);
    assert_eq!(mode(&host.path("right.key")), 0o600);
}

#[test]
fn keygen_leaves_nothing_where_it_cannot_write() {
    let host = Host::new();
    let output = host.run("keygen -o missing/new.key");
    assert_eq!(code(&output), 11);
    assert!(
        stderr(&output).starts_with("error: missing/new.key: "),
        "{}",
        stderr(&output)
    );
    assert_eq!(host.names("."), ["big", "other.key", "pydict", "right.key"]);
}

#[test]
fn keygen_to_a_full_device_fails() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Host::new().command("keygen").stdout(full).output().unwrap();
    assert_eq!(code(&output), 11);
    assert!(stderr(&output).contains("No space left on device"));
}

#[test]
fn open_prints_a_handler_of_one_file() {
    let host = Host::new();
    let output = host.run("open ./pydict --key-file right.key");
    assert_eq!((code(&output), stdout(&output)), (0, SOURCE));
    let output = host.run("open pydict/handler.sealed --key-file right.key");
    assert_eq!((code(&output), stdout(&output)), (0, SOURCE));
}

#[test]
fn open_takes_the_key_from_standard_input() {
    let host = Host::new();
    let mut command = host.command("open ./pydict --key-file -");
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&fs::read(host.path("right.key")).unwrap())
        .unwrap();
    assert_eq!(stdout(&child.wait_with_output().unwrap()), SOURCE);
}

#[test]
fn open_lists_picks_or_asks_where_there_are_several_files() {
    let host = Host::new();
    let output = host.run("open ./big --key-file right.key");
    assert_eq!((code(&output), stdout(&output)), (2, ""));
    assert!(stderr(&output).contains("-o DIR"));
    let output = host.run("open ./big --key-file right.key --list");
    assert_eq!(stdout(&output), "a.py\nb.py\np/\np/c.py\n");
    let output = host.run("open ./big --key-file right.key --file p/c.py");
    assert_eq!(stdout(&output), SOURCE);
    assert_eq!(
        code(&host.run("open ./big --key-file right.key --file p/d.py")),
        2
    );
}

#[test]
fn open_writes_everything_into_a_new_folder_of_the_owner() {
    let host = Host::new();
    assert_eq!(code(&host.run("open ./big --key-file right.key -o out")), 0);
    assert_eq!(host.names("out"), ["a.py", "b.py", "p"]);
    assert_eq!(mode(&host.path("out")), 0o700);
    assert_eq!(
        host.names("big"),
        ["handler.sealed"],
        "the sealed file stays as it is"
    );
}

#[test]
fn open_overwrites_only_when_forced() {
    let host = Host::new();
    fs::create_dir(host.path("out")).unwrap();
    fs::write(host.path("out/b.py"), "mine").unwrap();
    let output = host.run("open ./big --key-file right.key -o out");
    assert_eq!(code(&output), 5);
    assert_eq!(host.names("out"), ["b.py"]);
    assert_eq!(fs::read_to_string(host.path("out/b.py")).unwrap(), "mine");
    assert_eq!(
        code(&host.run("open ./big --key-file right.key -o out --force")),
        0
    );
    assert_eq!(fs::read_to_string(host.path("out/b.py")).unwrap(), SOURCE);
}

#[test]
fn open_with_another_key_names_both_and_leaves_nothing() {
    let host = Host::new();
    let output = host.run("open ./big --key-file other.key -o out");
    assert_eq!(code(&output), 3);
    assert!(
        stderr(&output).contains("sealed with key "),
        "{}",
        stderr(&output)
    );
    assert_eq!(host.names("."), ["big", "other.key", "pydict", "right.key"]);
}

#[test]
fn a_malformed_key_file_is_told_from_a_wrong_key() {
    let host = Host::new();
    fs::write(host.path("right.key"), "rsfaas1nonsense").unwrap();
    let output = host.run("open ./pydict --key-file right.key");
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).starts_with("error: no usable key in right.key: "));
}

#[test]
fn a_key_file_that_others_may_read_is_warned_of() {
    let host = Host::new();
    fs::set_permissions(host.path("right.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = host.run("open ./pydict --key-file right.key");
    assert_eq!((code(&output), stdout(&output)), (0, SOURCE));
    assert!(stderr(&output).starts_with("warning: right.key has mode 0644"));
}

#[test]
fn a_key_given_as_argument_is_refused_and_not_repeated() {
    let host = Host::new();
    let key = fs::read_to_string(host.path("right.key")).unwrap();
    let output = host.run(&format!("open ./pydict --key-file {key}"));
    assert_eq!(code(&output), 2);
    assert!(!stderr(&output).contains(key.trim()));
}

#[test]
fn a_damaged_file_is_refused_and_nothing_is_left() {
    let host = Host::new();
    let path = host.path("big/handler.sealed");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let output = host.run("open ./big --key-file right.key -o out");
    assert_eq!(code(&output), 4);
    assert!(stderr(&output).contains("damaged"));
    assert_eq!(host.names("."), ["big", "other.key", "pydict", "right.key"]);
}

#[test]
fn what_is_not_sealed_has_its_own_code() {
    let host = Host::new();
    fs::create_dir(host.path("plain")).unwrap();
    for target in ["nosuch", "./plain", "./right.key"] {
        assert_eq!(code(&host.run(&format!("inspect {target}"))), 4, "{target}");
    }
    assert_eq!(code(&host.run("inspect ./nosuch")), 11);
}

#[test]
fn inspect_needs_no_key_and_shows_no_content() {
    let host = Host::new();
    let output = host.run("inspect ./pydict");
    assert_eq!(code(&output), 0);
    for fact in [
        "function   pydict",
        "version    1",
        "sealed at  2023-11-14T22:13:20Z",
    ] {
        assert!(stdout(&output).contains(fact), "{fact}");
    }
    assert!(!stdout(&output).contains("canary"));
}

#[test]
fn inspect_gives_json() {
    let host = Host::new();
    let output = host.run("inspect ./pydict --json");
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let key = Key::parse(&fs::read(host.path("right.key")).unwrap()).unwrap();
    assert_eq!(facts["key_id"], key.id().to_string());
    assert_eq!(facts["function"], "pydict");
    assert_eq!(facts["sealed_at_unix"], 1_700_000_000);
    assert_eq!(facts["complete"], true);
    let length = fs::metadata(host.path("pydict/handler.sealed"))
        .unwrap()
        .len();
    assert_eq!(facts["file_bytes"], length);
}

#[test]
fn inspect_tells_a_file_that_is_cut_short() {
    let host = Host::new();
    let path = host.path("pydict/handler.sealed");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let output = host.run("inspect ./pydict --json");
    assert_eq!(code(&output), 4);
    assert!(stdout(&output).contains("\"complete\":false"));
}

#[test]
fn a_name_is_looked_up_in_the_state_folder() {
    let host = Host::new();
    let record = serde_json::json!({
        "name": "pydict", "sealed": host.path("pydict/handler.sealed"), "base_image": "b",
        "locked_image": "l", "handler_dir": "/home/app/function", "park": "python",
        "upstream_port": 5000, "stack": {},
    });
    fs::create_dir_all(host.path("state/functions")).unwrap();
    fs::write(host.path("state/functions/pydict.json"), record.to_string()).unwrap();
    let output = host.run("open pydict --state-dir state --key-file right.key");
    assert_eq!(
        (code(&output), stdout(&output)),
        (0, SOURCE),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_sealed_file_of_another_function_is_refused_by_name() {
    let host = Host::new();
    let record = serde_json::json!({
        "name": "pydict", "sealed": host.path("big/handler.sealed"), "base_image": "b",
        "locked_image": "l", "handler_dir": "/home/app/function", "park": "python",
        "upstream_port": 5000, "stack": {},
    });
    fs::create_dir_all(host.path("state/functions")).unwrap();
    fs::write(host.path("state/functions/pydict.json"), record.to_string()).unwrap();
    let output = host.run("open pydict --state-dir state --key-file right.key");
    assert_eq!(code(&output), 4);
    assert!(stderr(&output).contains("sealed for function \"big\", not for \"pydict\""));
}

#[test]
fn help_is_no_error_and_a_wrong_argument_is() {
    let host = Host::new();
    assert_eq!(code(&host.run("--help")), 0);
    assert_eq!(code(&host.run("open --nonsense")), 2);
    assert_eq!(code(&host.run("")), 2);
}
