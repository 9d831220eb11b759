//! A page in a real browser, which asks the gateway first whether it may send a header of its own.
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
};

use crate::{
    World,
    host::{Error, check, run},
};

const BROWSER: &str = "chromium-headless-shell";

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
             '{{}}', headers: {headers}}}).then(async (answer) => {{document.body.textContent = \
             answer.status + ' ' + await answer.text()}}, (error) => {{document.body.textContent = \
             error}})</script></body>",
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

/// What a page has become when all that it asked for has come.
fn show(page: &str) -> Result<String, Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let folder = tempfile::tempdir()?;
    thread::scope(|scope| {
        let server = scope.spawn(|| serve(&listener, page));
        let shown = run(Command::new(BROWSER)
            .args([
                "--no-sandbox",
                "--disable-gpu",
                "--virtual-time-budget=60000",
            ])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("--dump-dom")
            .arg(format!("http://{address}/")));
        // The last connection.
        drop(TcpStream::connect(address)?);
        super::joined(server.join())?;
        shown
    })
}

/// Answers every request with the page, until a connection comes without one.
fn serve(listener: &TcpListener, page: &str) -> Result<(), Error> {
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut head = [0; 4096];
        if stream.read(&mut head)? == 0 {
            break;
        }
        let length = page.len();
        // The browser may have lost interest.
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{page}"
        );
    }
    Ok(())
}
