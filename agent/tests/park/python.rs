//! Python processes.
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use rsfaas_shim::{HANDLER_DIR, PARK_TOKEN};

use crate::{
    PATIENCE,
    container::Container,
    templates::{ASYNC_INDEX, INDEX, file, handler},
};

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

#[tokio::test]
async fn a_handler_that_is_a_package_imports_what_is_in_it() {
    let text =
        "from .words import WORDS\ndef handle(word):\n    return [WORDS[word], __package__]\n";
    let entries = [
        file("handler/__init__.py", text),
        file("handler/words.py", "WORDS = {'night': 'Nacht'}\n"),
    ];
    let container = Container::python();
    let delivered = container.deliver(&entries).await;
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), r#"["Nacht", "function.handler"]"#);
}

#[tokio::test]
async fn a_handler_in_a_folder_that_is_no_package_finds_its_data_as_a_resource() {
    let root = Container::folder();
    fs::remove_file(root.path().join("home/function/__init__.py")).unwrap();
    let text = "import importlib.resources\n\
        TEXT = importlib.resources.files(__package__).joinpath('text').read_text()\n\
        def handle(word):\n    return TEXT\n";
    let container = Container::python_in(root);
    let entries = [file("handler.py", text), file("text", "Nacht")];
    let delivered = container.deliver(&entries).await;
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), "\"Nacht\"");
}

#[tokio::test]
async fn a_handler_runs_an_event_loop_at_its_import_behind_an_asyncio_server() {
    let text = r#"
import asyncio
async def load():
    await asyncio.sleep(0)
    return "Nacht"
WORD = asyncio.run(load())
def handle(word):
    return [WORD, asyncio.get_running_loop() is asyncio.get_event_loop_policy().get_event_loop()]
"#;
    let container = Container::template(ASYNC_INDEX);
    let delivered = container.deliver(&[file("handler.py", text)]).await;
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), r#"["Nacht", true]"#);
}

#[tokio::test]
async fn a_handler_that_is_imported_in_a_running_event_loop_finds_it_at_its_import() {
    let text = "import asyncio\nLOOP = asyncio.get_running_loop()\n\
        def handle(word):\n    return LOOP is asyncio.get_running_loop()\n";
    let import = "from function import handler\n";
    let main = "async def main():\n";
    let index = ASYNC_INDEX
        .replace(import, "")
        .replace(main, &format!("{main}    global handler\n    {import}"));
    let container = Container::template(&index);
    let delivered = container.deliver(&[file("handler.py", text)]).await;
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), "true");
}

#[tokio::test]
async fn a_handler_waits_at_its_import_for_a_thread_that_forks() {
    let text = "import os\nfrom threading import Thread\n\
        thread = Thread(target=lambda: os.waitpid(os.fork() or os._exit(0), 0))\n\
        thread.start()\nthread.join()\n\
        def handle(word):\n    return word\n";
    let container = Container::python();
    let delivered = container.deliver(&[file("handler.py", text)]).await;
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), "\"night\"");
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
