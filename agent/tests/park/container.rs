//! Processes that are parked, in namespaces of their own.
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use rsfaas::{
    rebuild::mount::{Delivered, Entry, ParkToken, Parked, wait_parked},
    stack::NOTHING_COMPILED,
};
use rsfaas_shim::{HANDLER_DIR, PARK_TOKEN};
use tempfile::TempDir;

use crate::{
    PATIENCE, USER,
    templates::{INDEX, folder_place, handler},
};

/// Makes the home folder an overlay, as containers' folders are, and becomes the rest.
pub(crate) const OVERLAY: &str = r#"
mount -t tmpfs tmpfs "$0/scratch"
mkdir "$0/scratch/upper" "$0/scratch/work"
mount -t overlay overlay "$0/home" \
    -o "lowerdir=$0/home,upperdir=$0/scratch/upper,workdir=$0/scratch/work"
cd "$0/home"
exec "$@"
"#;

/// Processes in namespaces of their own; ended on drop.
pub(crate) struct Container {
    pub(crate) child: Child,
    pub(crate) token: Arc<ParkToken>,
    pub(crate) root: TempDir,
    pub(crate) port: u16,
}

impl Container {
    /// The parts that all tests share: a home folder, its handler folder with an `__init__.py`, the hook.
    pub(crate) fn folder() -> TempDir {
        let root = TempDir::new().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(root.path().join("home/function")).unwrap();
        fs::write(root.path().join("home/index.py"), INDEX).unwrap();
        fs::write(root.path().join("home/function/__init__.py"), "").unwrap();
        fs::create_dir(root.path().join("scratch")).unwrap();
        fs::create_dir(root.path().join("python")).unwrap();
        let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/python");
        for file in ["sitecustomize.py", "rsfaas_later.py"] {
            fs::copy(hook.join(file), root.path().join("python").join(file)).unwrap();
        }
        root
    }

    pub(crate) fn start(root: TempDir, hook: bool, command: &[&str]) -> Self {
        Self::start_for("host", root, hook, command)
    }

    /// That of the agent of a host.
    pub(crate) fn start_for(host: &str, root: TempDir, hook: bool, command: &[&str]) -> Self {
        let token = Arc::new(ParkToken::generate(host).unwrap());
        let port = unused_port();
        // The outer one is outside the container, as a runtime is: without its mounts and the token.
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--pid", "--fork", "--kill-child"])
            .args(["unshare", "--mount", "--mount-proc", "env"])
            .arg(format!("{PARK_TOKEN}={}", token.expose()))
            .arg(format!(
                "{HANDLER_DIR}={}",
                root.path().join("home/function").display()
            ))
            .args(NOTHING_COMPILED.map(|(name, value)| format!("{name}={value}")))
            .arg(format!("TEST_PORT={port}"));
        if hook {
            let (python, node) = (root.path().join("python"), root.path().join("node/park.js"));
            unshare.arg(format!("PYTHONPATH={}", python.display()));
            unshare.arg(format!("NODE_OPTIONS=--require={}", node.display()));
        }
        unshare
            .args(["sh", "-ec", OVERLAY])
            .arg(root.path())
            // setpriv, since a change of user undoes what unshare asked for.
            .args(["setpriv", "--pdeathsig", "KILL", "--clear-groups"])
            .arg(format!("--reuid={USER}"))
            .arg(format!("--regid={USER}"))
            .args(command)
            .stdin(Stdio::null());
        let child = unshare
            .spawn()
            .expect("unshare and setpriv (util-linux) are there");
        Self {
            child,
            token,
            root,
            port,
        }
    }

    pub(crate) fn python() -> Self {
        Self::python_in(Self::folder())
    }

    pub(crate) fn python_in(root: TempDir) -> Self {
        Self::start(root, true, &["/usr/bin/python3", "index.py"])
    }

    /// A Python process of another template.
    pub(crate) fn template(text: &str) -> Self {
        let root = Self::folder();
        fs::write(root.path().join("home/index.py"), text).unwrap();
        Self::python_in(root)
    }

    /// A program behind the gate.
    pub(crate) fn gated(root: TempDir, program: &[&str]) -> Self {
        Self::gated_for("host", root, program)
    }

    pub(crate) fn gated_for(host: &str, root: TempDir, program: &[&str]) -> Self {
        let gate = copy_gate(&root);
        let command = [&[gate.to_str().unwrap()], program].concat();
        Self::start_for(host, root, false, &command)
    }

    /// A Node.js process, with what the hook needs beside it.
    pub(crate) fn node(program: &str, text: &str) -> Self {
        let root = Self::folder();
        let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/node/park.js");
        fs::create_dir(root.path().join("node")).unwrap();
        fs::copy(hook, root.path().join("node/park.js")).unwrap();
        copy_gate(&root);
        fs::write(root.path().join("home").join(program), text).unwrap();
        Self::start(root, true, &["/usr/bin/node", program])
    }

    pub(crate) fn handler_dir(&self) -> PathBuf {
        self.root.path().join("home/function")
    }

    pub(crate) async fn parked(&self) -> Parked {
        wait_parked(Arc::clone(&self.token), PATIENCE)
            .await
            .expect("it parks (needs root)")
    }

    pub(crate) async fn deliver(&self, entries: &[Entry<'_>]) -> Delivered {
        self.deliver_to(self.parked().await, entries)
    }

    /// The same, where the parked process was looked at before.
    pub(crate) fn deliver_to(&self, parked: Parked, entries: &[Entry<'_>]) -> Delivered {
        let folder = self.handler_dir();
        parked.deliver(&[folder_place(&folder, entries)]).unwrap()
    }

    pub(crate) async fn serve(&self) -> Delivered {
        self.serve_from(self.parked().await).await
    }

    pub(crate) async fn serve_from(&self, parked: Parked) -> Delivered {
        let delivered = self.deliver_to(parked, &handler());
        delivered.ready(self.port, PATIENCE).await.unwrap();
        delivered
    }

    pub(crate) fn call(&self, word: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET /{word} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// The handler folder as the container sees it.
    pub(crate) fn seen(&self, delivered: &Delivered) -> PathBuf {
        let inside = self.handler_dir();
        PathBuf::from(format!("/proc/{}/root", delivered.pid()))
            .join(inside.strip_prefix("/").unwrap())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that no other container here is given, and that the kernel gives nobody by itself (it starts at 32768).
fn unused_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// By a process of its own: one that another test is just starting would have what this one writes open for a moment
/// longer, and nobody could start it.
fn copy_gate(root: &TempDir) -> PathBuf {
    let gate = root.path().join("gate");
    let copied = Command::new("cp").arg(build_gate()).arg(&gate).status();
    assert!(copied.unwrap().success());
    gate
}

/// The gate belongs to another package, whose programs cargo does not build for these tests.
pub(crate) fn build_gate() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--package",
            "rsfaas-shim",
            "--bin",
            "gate",
            "--target-dir",
        ])
        .arg(target)
        .status()
        .unwrap();
    assert!(status.success());
    target.join("debug/gate")
}
