//! Park, deliver, ready and wipe against real processes in namespaces of their own, without a container
//! runtime. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that fails is a test that fails"
)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rsfaas::rebuild::mount::{
    Delivered, Entry, EntryKind, MountError, ParkToken, Parked, Place, PlaceContent, Strays,
    wait_parked,
};
use rsfaas_shim::{HANDLER_DIR, PARK_TOKEN};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const USER: u32 = 4321;

/// A template as OpenFaaS has them: the server imports the handler and listens afterwards.
const INDEX: &str = r#"
import http.server, json, os, sys
from function import handler

class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(handler.handle(self.path[1:])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass

http.server.HTTPServer(("127.0.0.1", int(os.environ["TEST_PORT"])), Server).serve_forever()
"#;

const HANDLER: &str = r#"
import errno, os, sys
from .words import WORDS
HERE = os.path.dirname(__file__)
LOADED = sorted(name for name in sys.modules if name == "encodings.idna")

def handle(word):
    if word == "write":
        try:
            os.chmod(os.path.join(HERE, "handler.py"), 0o644)
        except OSError as error:
            return errno.errorcode[error.errno]
    if word == "base":
        from .base import NAME
        return NAME
    if word == "loaded":
        return LOADED
    if word == "environment":
        return sorted(name for name in os.environ if name in ("RSFAAS_PARK_TOKEN", "RSFAAS_HANDLER_DIR"))
    return WORDS[word]
"#;

/// The same in Node.js.
const INDEX_JS: &str = r#"
const http = require("http");
const handler = require("./function/handler");
http.createServer((request, response) => {
  Promise.resolve(handler(request.url.slice(1))).then((result) => response.end(JSON.stringify(result)));
}).listen(process.env.TEST_PORT, "127.0.0.1");
"#;

/// The same as an ES module.
const INDEX_MJS: &str = r#"
import http from "http";
import handler from "./function/handler.js";
http.createServer((request, response) => {
  response.end(JSON.stringify(handler(request.url.slice(1))));
}).listen(process.env.TEST_PORT, "127.0.0.1");
"#;

const HANDLER_JS: &str = r#"
const words = require("./words");
const fs = require("fs");
const hidden = ["RSFAAS_PARK_TOKEN", "RSFAAS_HANDLER_DIR", "NODE_OPTIONS"];
module.exports = (word) => {
  if (word === "environment") return hidden.filter((name) => name in process.env);
  if (word === "data") return fs.readFileSync(__dirname + "/words/data.txt", "utf8");
  return words[word];
};
"#;

/// Makes the home folder an overlay, as containers' folders are, and becomes the rest.
const OVERLAY: &str = r#"
mount -t tmpfs tmpfs "$0/scratch"
mkdir "$0/scratch/upper" "$0/scratch/work"
mount -t overlay overlay "$0/home" \
    -o "lowerdir=$0/home,upperdir=$0/scratch/upper,workdir=$0/scratch/work"
cd "$0/home"
exec "$@"
"#;

/// Processes in namespaces of their own; ended on drop.
struct Container {
    child: Child,
    token: Arc<ParkToken>,
    root: TempDir,
    port: u16,
}

impl Container {
    /// The parts that all tests share: a home folder, its handler folder with an `__init__.py`, the hook.
    fn folder() -> TempDir {
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

    fn start(root: TempDir, hook: bool, command: &[&str]) -> Self {
        Self::start_for("host", root, hook, command)
    }

    /// That of the agent of a host.
    fn start_for(host: &str, root: TempDir, hook: bool, command: &[&str]) -> Self {
        let token = Arc::new(ParkToken::generate(host).unwrap());
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
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
            .arg("PYTHONDONTWRITEBYTECODE=1")
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

    fn python() -> Self {
        Self::python_in(Self::folder())
    }

    fn python_in(root: TempDir) -> Self {
        Self::start(root, true, &["/usr/bin/python3", "index.py"])
    }

    /// A Python process of another template.
    fn template(text: &str) -> Self {
        let root = Self::folder();
        fs::write(root.path().join("home/index.py"), text).unwrap();
        Self::python_in(root)
    }

    /// A program behind the gate.
    fn gated(root: TempDir, program: &[&str]) -> Self {
        Self::gated_for("host", root, program)
    }

    fn gated_for(host: &str, root: TempDir, program: &[&str]) -> Self {
        let gate = root.path().join("gate");
        fs::copy(build_gate(), &gate).unwrap();
        let command = [&[gate.to_str().unwrap()], program].concat();
        Self::start_for(host, root, false, &command)
    }

    /// A Node.js process, with what the hook needs beside it.
    fn node(program: &str, text: &str) -> Self {
        let root = Self::folder();
        let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/node/park.js");
        fs::create_dir(root.path().join("node")).unwrap();
        fs::copy(hook, root.path().join("node/park.js")).unwrap();
        fs::copy(build_gate(), root.path().join("gate")).unwrap();
        fs::write(root.path().join("home").join(program), text).unwrap();
        Self::start(root, true, &["/usr/bin/node", program])
    }

    fn handler_dir(&self) -> PathBuf {
        self.root.path().join("home/function")
    }

    async fn parked(&self) -> Parked {
        wait_parked(Arc::clone(&self.token), PATIENCE)
            .await
            .expect("it parks (needs root)")
    }

    async fn deliver(&self, entries: &[Entry<'_>]) -> Delivered {
        self.deliver_to(self.parked().await, entries)
    }

    /// The same, where the parked process was looked at before.
    fn deliver_to(&self, parked: Parked, entries: &[Entry<'_>]) -> Delivered {
        let folder = self.handler_dir();
        parked.deliver(&[folder_place(&folder, entries)]).unwrap()
    }

    async fn serve(&self) -> Delivered {
        self.serve_from(self.parked().await).await
    }

    async fn serve_from(&self, parked: Parked) -> Delivered {
        let delivered = self.deliver_to(parked, &handler());
        delivered.ready(self.port, PATIENCE).await.unwrap();
        delivered
    }

    fn call(&self, word: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET /{word} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// The handler folder as the container sees it.
    fn seen(&self, delivered: &Delivered) -> PathBuf {
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

fn folder_place<'a>(path: &'a Path, entries: &[Entry<'a>]) -> Place<'a> {
    Place {
        path,
        content: PlaceContent::Folder(entries.to_vec()),
    }
}

fn file<'a>(path: &'a str, content: &'a str) -> Entry<'a> {
    Entry {
        path: Path::new(path),
        mode: 0o644,
        kind: EntryKind::File(content.as_bytes()),
    }
}

fn handler_js() -> [Entry<'static>; 3] {
    [
        file("handler.js", HANDLER_JS),
        file("words/data.txt", "words"),
        file("words/index.js", "module.exports = { night: 'Nacht' };\n"),
    ]
}

fn handler() -> [Entry<'static>; 3] {
    [
        file("handler.py", HANDLER),
        Entry {
            path: Path::new("words"),
            mode: 0o755,
            kind: EntryKind::Dir,
        },
        file("words/__init__.py", "WORDS = {'night': 'Nacht'}\n"),
    ]
}

#[tokio::test]
async fn a_parked_python_server_listens_already_and_serves_what_is_delivered() {
    let container = Container::python();
    let parked = container.parked().await;
    drop(TcpStream::connect(("127.0.0.1", container.port)).unwrap());
    let mut delivered = container.serve_from(parked).await;
    assert_eq!(container.call("night"), "\"Nacht\"");
    delivered.wipe_and_kill().await.unwrap();
}

/// Each is what a template may do with its handler before it serves.
#[tokio::test]
async fn a_template_that_looks_into_its_handler_waits_there() {
    let either_way = "try:\n    from .words import WORDS\nexcept ImportError:\n    from words import WORDS\n\
        HERE = 'here'\n\
        def handle(word):\n    return WORDS[word]\n";
    for (what, import) in [
        (
            "a name of it",
            "import types\nfrom function.handler import handle\nhandler = types.SimpleNamespace(handle=handle)",
        ),
        (
            "an attribute",
            "from function import handler\nhandler.handle",
        ),
        (
            "a module beside it",
            "from function import handler\nimport function.words",
        ),
        (
            "its folder on the path",
            "sys.path.insert(0, 'function')\nimport handler\nhandler.HERE",
        ),
        (
            "a process of its own",
            "from function import handler\nif os.fork(): os._exit(os.wait()[1])",
        ),
        (
            "another thread",
            "import threading\nthread = threading.Thread(target=__import__, args=['function.handler'])\n\
          thread.start()\nthread.join()\nfrom function import handler",
        ),
    ] {
        let container = Container::template(&INDEX.replace("from function import handler", import));
        let parked = container.parked().await;
        let early = TcpStream::connect(("127.0.0.1", container.port));
        assert!(early.is_err(), "{what}: it serves already");
        let mut entries = handler();
        entries[0] = file("handler.py", either_way);
        let delivered = container.deliver_to(parked, &entries);
        let ready = delivered.ready(container.port, PATIENCE).await;
        assert!(ready.is_ok(), "{what}: {ready:?}");
        assert_eq!(container.call("night"), "\"Nacht\"", "{what}");
    }
}

#[tokio::test]
async fn a_call_ahead_of_the_delivery_fails_and_later_ones_are_served() {
    // It says nothing of a call that fails, as this one must.
    let quiet =
        "type('Quiet', (http.server.ThreadingHTTPServer,), {'handle_error': lambda *_: None})(";
    let container = Container::template(&INDEX.replace("http.server.HTTPServer(", quiet));
    let parked = container.parked().await;
    let mut early = TcpStream::connect(("127.0.0.1", container.port)).unwrap();
    write!(early, "GET /night HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "", "nothing but the end of the connection");
    let _delivered = container.serve_from(parked).await;
    assert_eq!(container.call("night"), "\"Nacht\"");
}

#[tokio::test]
async fn a_handler_is_loaded_in_the_main_thread_of_a_server_that_runs() {
    let text = "import signal, threading\n\
        signal.signal(signal.SIGUSR1, lambda *_: None)\n\
        MAIN = threading.current_thread() is threading.main_thread()\n\
        def handle(word):\n    return [MAIN, __name__, __package__, __file__.rsplit('/', 2)[1:]]\n";
    let container = Container::python();
    let delivered = container.deliver(&[file("handler.py", text)]).await;
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(
        container.call(""),
        r#"[true, "function.handler", "function", ["function", "handler.py"]]"#
    );
}

/// Serves with a template that begins with these lines, and does so still a while later.
async fn serves_for_a_while(lines: &str) {
    let root = Container::folder();
    fs::write(root.path().join("home/index.py"), format!("{lines}{INDEX}")).unwrap();
    // Not as process 1, which the kernel spares.
    let watchdog = ["sh", "-c", "/usr/bin/python3 index.py; exit 1"];
    let container = Container::start(root, true, &watchdog);
    let delivered = container.serve().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!delivered.is_ending());
    assert_eq!(container.call("night"), "\"Nacht\"");
}

/// The thread that pokes the main one may be kept from it for as long as the load takes.
#[tokio::test]
async fn a_poke_that_comes_after_the_load_does_no_harm() {
    let lines = r#"
import signal, time
kill = signal.pthread_kill
def kill_again(thread, number):
    kill(thread, number)
    time.sleep(0.1)
    kill(thread, number)
signal.pthread_kill = kill_again
"#;
    serves_for_a_while(lines).await;
}

#[tokio::test]
async fn a_poke_that_comes_where_the_load_begins_does_no_harm() {
    let lines = r#"
import rsfaas_later, signal, threading
load = rsfaas_later.Handler._load
def load_when_poked_again(self):
    rsfaas_later.Handler._load = load
    signal.pthread_kill(threading.main_thread().ident, rsfaas_later._POKE)
    return load(self)
rsfaas_later.Handler._load = load_when_poked_again
"#;
    serves_for_a_while(lines).await;
}

#[tokio::test]
async fn what_a_server_loads_at_its_start_is_loaded_while_it_waits() {
    let container = Container::python();
    let _delivered = container.serve().await;
    assert_eq!(container.call("loaded"), "[\"encodings.idna\"]");
}

#[tokio::test]
async fn the_handler_does_not_see_how_it_was_found() {
    let container = Container::python();
    let _delivered = container.serve().await;
    assert_eq!(container.call("environment"), "[]");
}

#[tokio::test]
async fn a_gated_process_starts_once_the_handler_is_there() {
    let container = Container::gated(Container::folder(), &["/usr/bin/python3", "index.py"]);
    let _delivered = container.serve().await;
    assert_eq!(container.call("night"), "\"Nacht\"");
    assert_eq!(container.call("environment"), "[]");
}

#[tokio::test]
async fn a_node_process_parked_in_its_require_serves_what_is_delivered() {
    let container = Container::node("index.js", INDEX_JS);
    let parked = container.parked().await;
    let name = fs::read_to_string(format!("/proc/{}/comm", parked.pid())).unwrap();
    assert_eq!(
        name, "node\n",
        "the gate that it has waiting was taken for it"
    );
    let delivered = container.deliver_to(parked, &handler_js());
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), "\"Nacht\"");
    assert_eq!(container.call("data"), "\"words\"");
    assert_eq!(container.call("environment"), "[]");
}

#[tokio::test]
async fn an_es_module_waits_before_its_first_line() {
    let container = Container::node("index.mjs", INDEX_MJS);
    let delivered = container.deliver(&handler_js()).await;
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), "\"Nacht\"");
}

#[tokio::test]
async fn single_files_and_folders_are_delivered_to_places_of_their_own() {
    let root = Container::folder();
    let home = root.path().join("home");
    fs::write(home.join("handler.sh"), "").unwrap();
    fs::create_dir(home.join("static")).unwrap();
    let text = "#!/bin/sh\ncat static/a/page; exec sleep 60\n";
    let container = Container::gated(root, &["./handler.sh"]);
    let (static_dir, program) = (home.join("static"), home.join("handler.sh"));
    let watched = container.handler_dir();
    let mut script = file("", text);
    script.mode = 0o755;
    let places = [
        folder_place(&static_dir, &[file("a/page", "page")]),
        Place {
            path: &program,
            content: PlaceContent::File(script),
        },
        // The one that the process watches is the last.
        folder_place(&watched, &[]),
    ];
    let parked = container.parked().await;
    let mut delivered = parked.deliver(&places).unwrap();
    let seen = PathBuf::from(format!("/proc/{}/root", delivered.pid()));
    let program = seen.join(program.strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(&program).unwrap(), text);
    assert_eq!(fs::metadata(&program).unwrap().mode() & 0o7777, 0o555);
    let mut open = fs::File::open(&program).unwrap();
    assert_eq!(fs::read_to_string(home.join("handler.sh")).unwrap(), "");
    delivered.wipe_and_kill().await.unwrap();
    let mut left = String::new();
    open.read_to_string(&mut left).unwrap();
    assert_eq!(left, "");
}

/// Run with `--nocapture` it tells how long that took.
#[tokio::test]
async fn five_thousand_files_of_ten_megabytes_are_delivered() {
    let paths: Vec<String> = (0..5000)
        .map(|number| format!("package{}/module{number}.py", number / 50))
        .collect();
    let content = "x = 1\n".repeat(341);
    let mut entries = handler().to_vec();
    entries.extend(paths.iter().map(|path| file(path, &content)));
    let container = Container::python();
    let parked = container.parked().await;
    let folder = container.handler_dir();
    let places = [folder_place(&folder, &entries)];
    let start = std::time::Instant::now();
    let delivered = parked.deliver(&places).unwrap();
    println!("5,000 files, 10 MB: delivered in {:?}", start.elapsed());
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), "\"Nacht\"");
}

#[tokio::test]
async fn delivered_files_are_read_only_and_belong_to_the_functions_user() {
    let container = Container::python();
    let delivered = container.serve().await;
    assert_eq!(container.call("write"), "\"EROFS\"");
    for (path, mode) in [
        ("handler.py", 0o444),
        ("words", 0o555),
        ("words/__init__.py", 0o444),
        ("", 0o555),
    ] {
        let found = fs::metadata(container.seen(&delivered).join(path)).unwrap();
        assert_eq!(
            (found.uid(), found.gid(), found.mode() & 0o7777),
            (USER, USER, mode),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_host_sees_neither_the_mount_nor_the_files() {
    let container = Container::python();
    let _delivered = container.serve().await;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(container.root.path().to_str().unwrap()),
        "{mounts}"
    );
    let names: Vec<_> = fs::read_dir(container.handler_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["__init__.py"]);
}

#[tokio::test]
async fn what_the_base_image_keeps_in_a_small_folder_stays_visible() {
    let root = Container::folder();
    let base = root.path().join("home/function/base");
    fs::create_dir(&base).unwrap();
    fs::write(base.join("__init__.py"), "NAME = 'from the base'\n").unwrap();
    fs::write(root.path().join("home/function/handler.py"), "stale").unwrap();
    let container = Container::python_in(root);
    let _delivered = container.serve().await;
    assert_eq!(container.call("base"), "\"from the base\"");
}

#[tokio::test]
async fn what_the_base_image_keeps_in_a_large_folder_stays_visible() {
    let root = Container::folder();
    let folder = root.path().join("home/function");
    fs::create_dir(folder.join("base")).unwrap();
    fs::write(folder.join("base/__init__.py"), "NAME = 'from the base'\n").unwrap();
    fs::write(folder.join("large.bin"), vec![7; 3 << 20]).unwrap();
    let container = Container::python_in(root);
    let mut delivered = container.serve().await;
    assert_eq!(container.call("base"), "\"from the base\"");
    assert_eq!(container.call("write"), "\"EROFS\"");
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", delivered.pid())).unwrap();
    assert!(mounts.contains(" - overlay rsfaas "), "{mounts}");
    let mut open = fs::File::open(container.seen(&delivered).join("handler.py")).unwrap();
    delivered.wipe_and_kill().await.unwrap();
    let mut left = String::new();
    open.read_to_string(&mut left).unwrap();
    assert_eq!(left, "");
}

#[tokio::test]
async fn the_first_process_outlives_the_handlers_until_its_container_is_removed() {
    let watchdog = ["sh", "-c", "/usr/bin/python3 index.py; exit 1"];
    let python = ["/usr/bin/python3", "index.py"];
    for mut container in [
        Container::start(Container::folder(), true, &watchdog),
        Container::gated(Container::folder(), &python),
    ] {
        let mut delivered = container.serve().await;
        let pid = delivered.pid();
        delivered.wipe_and_kill().await.unwrap();
        assert!(!fs::exists(format!("/proc/{pid}/root/")).unwrap());
        let removal = async { container.child.try_wait().unwrap() };
        assert_eq!(delivered.removed_by(removal).await, None, "it ended early");
        container.child.wait().unwrap();
    }
}

#[tokio::test]
async fn after_the_wipe_an_open_file_is_empty_and_no_process_is_left() {
    let container = Container::python();
    let mut delivered = container.serve().await;
    let mut open = fs::File::open(container.seen(&delivered).join("handler.py")).unwrap();
    let pid = delivered.pid();
    delivered.wipe_and_kill().await.unwrap();
    let mut left = String::new();
    open.read_to_string(&mut left).unwrap();
    assert_eq!(left, "");
    assert!(!fs::exists(format!("/proc/{pid}/root/")).unwrap());
}

/// The kernel gives the number of a mount namespace that is gone to the next one.
#[tokio::test]
async fn whoever_comes_after_a_container_that_is_gone_is_not_taken_for_it() {
    let mut container = Container::python();
    let mut delivered = container.serve().await;
    container.child.kill().unwrap();
    container.child.wait().unwrap();
    let mut others: Vec<Child> = (0..20)
        .map(|_| {
            let mut cat = Command::new("unshare");
            cat.args(["--mount", "cat"]).stdin(Stdio::piped());
            let mut child = cat.stdout(Stdio::piped()).spawn().unwrap();
            // It has its namespace once it copies a byte.
            child.stdin.as_ref().unwrap().write_all(b".").unwrap();
            let answer = child.stdout.as_mut().unwrap().read_exact(&mut [0]);
            answer.map(|()| child).unwrap()
        })
        .collect();
    delivered.wipe_and_kill().await.unwrap();
    for other in &mut others {
        drop(other.stdin.take());
        assert!(other.wait().unwrap().success(), "it was killed");
    }
}

#[tokio::test]
async fn dropping_a_delivery_wipes_and_kills_too() {
    let mut container = Container::python();
    let delivered = container.serve().await;
    let mut open = fs::File::open(container.seen(&delivered).join("handler.py")).unwrap();
    drop(delivered);
    let mut left = String::new();
    open.read_to_string(&mut left).unwrap();
    assert_eq!(left, "");
    container.child.wait().unwrap();
}

#[tokio::test]
async fn what_an_agent_that_is_gone_left_running_is_ended_and_other_hosts_containers_are_not() {
    let others = Container::python();
    let start = |command: &[&str]| Container::start_for("gone", Container::folder(), true, command);
    let python = ["/usr/bin/python3", "index.py"];
    let containers: [&dyn Fn() -> Container; 3] = [
        &|| start(&python),
        &|| start(&["sh", "-c", "/usr/bin/python3 index.py; true"]),
        &|| Container::gated_for("gone", Container::folder(), &python),
    ];
    for container in containers {
        let mut left = container();
        let delivered = left.serve().await;
        let pid = delivered.pid();
        // As if the agent had been killed: nobody wipes, nobody kills.
        std::mem::forget(delivered);
        let strays = Strays::kill("gone").await.unwrap();
        assert!(strays.count() > 0);
        let removal = async { "removed" };
        assert_eq!(strays.removed_by(removal).await, "removed");
        left.child.wait().unwrap();
        assert!(!fs::exists(format!("/proc/{pid}/root/")).unwrap());
        assert_eq!(Strays::kill("gone").await.unwrap().count(), 0);
    }
    let _delivered = others.serve().await;
    assert_eq!(others.call("night"), "\"Nacht\"");
}

#[tokio::test]
async fn what_runs_in_the_container_of_a_token_is_ended_and_in_no_other() {
    let others = Container::python();
    let mut container = Container::python();
    // As where the handler came with the image: nobody has delivered it.
    std::mem::forget(container.serve().await);
    let token = Arc::clone(&container.token);
    let strays = Strays::kill_container(token).await.unwrap();
    assert!(strays.count() > 0);
    strays.removed_by(async {}).await;
    container.child.wait().unwrap();
    let _delivered = others.serve().await;
    assert_eq!(others.call("night"), "\"Nacht\"");
}

#[tokio::test]
async fn a_handler_that_fails_to_load_is_told_from_a_slow_one() {
    let container = Container::python();
    let delivered = container
        .deliver(&[file("handler.py", "raise SystemExit(3)\n")])
        .await;
    let error = delivered.ready(container.port, PATIENCE).await.unwrap_err();
    assert!(matches!(error, MountError::Ended { .. }), "{error}");
}

#[tokio::test]
async fn a_handler_that_takes_too_long_to_load_is_told_after_the_time_limit() {
    let container = Container::python();
    let delivered = container
        .deliver(&[file("handler.py", "import time\ntime.sleep(600)\n")])
        .await;
    let error = delivered
        .ready(container.port, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, MountError::NotLoaded { .. }), "{error}");
}

#[tokio::test]
async fn a_function_that_never_listens_is_told_after_the_time_limit() {
    let container = Container::gated(Container::folder(), &["/usr/bin/sleep", "600"]);
    let delivered = container.deliver(&handler()).await;
    let error = delivered
        .ready(container.port, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, MountError::NotListening { .. }), "{error}");
}

#[tokio::test]
async fn an_entry_that_would_leave_the_folder_delivers_nothing() {
    let container = Container::python();
    let entries = [file("handler.py", HANDLER), file("../outside.py", "x")];
    let parked = container.parked().await;
    let folder = container.handler_dir();
    let error = parked
        .deliver(&[folder_place(&folder, &entries)])
        .err()
        .unwrap();
    assert!(matches!(error, MountError::Path { .. }), "{error}");
    assert!(!container.root.path().join("home/outside.py").exists());
    container.parked().await;
}

#[tokio::test]
async fn a_missing_handler_folder_is_named() {
    let container = Container::python();
    let error = container
        .parked()
        .await
        .deliver(&[folder_place(Path::new("/no/such/folder"), &[])])
        .err()
        .unwrap();
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}

#[tokio::test]
async fn links_are_delivered_as_links() {
    let container = Container::python();
    let mut entries = handler().to_vec();
    let kind = EntryKind::Symlink(Path::new("/etc/hostname"));
    entries.push(Entry {
        path: Path::new("link"),
        mode: 0o777,
        kind,
    });
    let delivered = container.deliver(&entries).await;
    let target = fs::read_link(container.seen(&delivered).join("link")).unwrap();
    assert_eq!(target, Path::new("/etc/hostname"));
}

#[tokio::test]
async fn a_process_outside_of_any_container_gets_nothing() {
    let root = Container::folder();
    let token = Arc::new(ParkToken::generate("host").unwrap());
    let mut child = Command::new("/usr/bin/python3")
        .arg("index.py")
        .current_dir(root.path().join("home"))
        .env("PYTHONPATH", root.path().join("python"))
        .env(PARK_TOKEN, token.expose())
        .env(HANDLER_DIR, root.path().join("home/function"))
        .env("TEST_PORT", "0")
        .spawn()
        .unwrap();
    let error = wait_parked(token, PATIENCE).await.err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        matches!(error, Some(MountError::NotIsolated { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn nobody_parked_is_told_after_the_time_limit() {
    let token = Arc::new(ParkToken::generate("host").unwrap());
    let error = wait_parked(token, Duration::from_millis(30))
        .await
        .err()
        .unwrap();
    assert!(
        matches!(error, MountError::NotParked { carriers: 0, .. }),
        "{error}"
    );
}

#[test]
fn python_that_does_not_import_the_handler_is_not_held_up() {
    let root = Container::folder();
    let run = Command::new("/usr/bin/python3")
        .args([
            "-c",
            "import json, sitecustomize; print(sitecustomize.__file__)",
        ])
        .current_dir(root.path().join("home"))
        .env("PYTHONPATH", root.path().join("python"))
        .env(PARK_TOKEN, "0")
        .env(HANDLER_DIR, root.path().join("home/function"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
}

#[test]
fn the_hook_hands_over_to_the_sitecustomize_that_it_hides() {
    let root = Container::folder();
    let other = root.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(
        other.join("sitecustomize.py"),
        "import sys\nsys.handed_over = True\n",
    )
    .unwrap();
    let path = std::env::join_paths([root.path().join("python"), other]).unwrap();
    let run = Command::new("/usr/bin/python3")
        .args(["-c", "import sys; print(sys.handed_over)"])
        .env("PYTHONPATH", path)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stdout), "True\n", "{run:?}");
}

/// The gate belongs to another package, whose programs cargo does not build for these tests.
fn build_gate() -> PathBuf {
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
