//! A page in a real browser, which asks the gateway first whether it may send a header of its own.
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{
    World,
    host::{Error, check},
};

const BROWSER: &str = "chromium-headless-shell";
/// Where the page tells what it has come to.
const SHOWN: &str = "/shown";
/// For hangs only: the browser starts on a machine that may do much else.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn a_page_from_elsewhere_calls_with_and_without_the_key(
    world: &World,
) -> Result<(), Error> {
    let key = world.author.key("echo-headers")?;
    for (headers, status, part) in [
        (
            r#"{"Content-Type": "application/json"}"#.to_owned(),
            423,
            "echo-headers is sealed",
        ),
        (format!(r#"{{"X-RsFaaS-Key": "{key}"}}"#), 200, "User-Agent"),
    ] {
        let page = format!(
            "<body><script>fetch('http://127.0.0.1:{}/function/echo-headers', {{method: 'POST', body: \
             '{{}}', headers: {headers}}}).then(async (answer) => answer.status + ' ' + await \
             answer.text(), String).then((shown) => fetch('{SHOWN}', {{method: 'POST', body: \
             shown}}))</script></body>",
            world.host.port
        );
        let shown = show(&page)?;
        check!(
            shown.contains(&format!("{status} ")) && shown.contains(part),
            "not {status} with {part:?} but:\n{shown}"
        );
        check!(
            !shown.contains("rsfaas1"),
            "the function saw the key:\n{shown}"
        );
    }
    world.agent.wait_until_locked("echo-headers")
}

/// Opens a page in the browser, which tells what it has come to by a request of its own.
fn show(page: &str) -> Result<String, Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (sender, shown) = mpsc::channel();
    let page: Arc<str> = page.into();
    // Ends with the test program: the listener has no end of its own.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (page, sender) = (Arc::clone(&page), sender.clone());
            // The browser opens connections that it may need, and says nothing on them.
            thread::spawn(move || serve(stream, &page, &sender));
        }
    });
    let _browser = Browser::open(&format!("http://{address}/"))?;
    shown
        .recv_timeout(PATIENCE)
        .map_err(|_| Error("the page has come to nothing".into()))
}

/// Answers one request: with the page, or taking down what that has come to.
fn serve(mut stream: TcpStream, page: &str, shown: &Sender<String>) -> std::io::Result<()> {
    let mut head = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    head.read_line(&mut line)?;
    let tells = line.starts_with(&format!("POST {SHOWN} "));
    let mut length = 0;
    while line.len() > 2 {
        line.clear();
        head.read_line(&mut line)?;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let page = if tells {
        let mut text = vec![0; length];
        head.read_exact(&mut text)?;
        // Nobody waits any more where the first one was enough.
        let _ = shown.send(String::from_utf8_lossy(&text).into_owned());
        ""
    } else {
        page
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    )
}

/// A browser that is ended when dropped.
struct Browser {
    process: Child,
    _folder: tempfile::TempDir,
}

impl Browser {
    fn open(url: &str) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let process = Command::new(BROWSER)
            .args([
                "--no-sandbox",
                "--disable-gpu",
                // It stays open for whoever would debug it.
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self {
            process,
            _folder: folder,
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            // With the processes of its own; it may have ended by itself.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.process.wait();
    }
}
