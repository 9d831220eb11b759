//! A container of the engine's, with Python in it, from whose inside the gateway is called.
use std::{
    io::{Seek as _, Write as _},
    process::{Command, Stdio},
};

use rsfaas::state::StateDir;

use crate::{
    World,
    host::{Error, eventually, run},
};

const NAME: &str = "rsfaas-e2e";
/// The gateway's host, seen from inside.
const HOST: &str = "gateway-host";

/// Calls a function: address and body are its arguments, and the key its input; prints status and answer.
const CALL: &str = "import sys, urllib.request, urllib.error\n\
    url, body = sys.argv[1:]\n\
    key = sys.stdin.read()\n\
    headers = {'X-RsFaaS-Key': key} if key else {}\n\
    try:\n\
    \x20   answer = urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers))\n\
    except urllib.error.HTTPError as error:\n\
    \x20   answer = error\n\
    print(answer.status, answer.read().decode())\n";

/// Hands connections to port 8080 on to an address, byte by byte.
const RELAY: &str = "import socket, sys, threading\n\
    def copy(here, there):\n\
    \x20   while data := here.recv(65536):\n\
    \x20       there.sendall(data)\n\
    \x20   there.shutdown(socket.SHUT_WR)\n\
    server = socket.create_server(('', 8080))\n\
    while True:\n\
    \x20   client, _ = server.accept()\n\
    \x20   gateway = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n\
    \x20   for pair in ((client, gateway), (gateway, client)):\n\
    \x20       threading.Thread(target=copy, args=pair, daemon=True).start()\n";

/// A container's command line, up to its script.
fn python(world: &World, options: &[&str], script: &str) -> Result<Command, Error> {
    let records = StateDir::new(world.agent.state_dir());
    // Any image with Python would do.
    let image = records
        .function("pydict")?
        .ok_or_else(|| Error("pydict is not sealed".into()))?
        .base_image;
    let mut command = Command::new("docker");
    command
        .args(["run", "--rm", "--name", NAME, "--entrypoint", "python3"])
        .args(["--add-host", &format!("{HOST}:host-gateway")])
        .args(options)
        .args([&image, "-c", script]);
    Ok(command)
}

/// Calls a function from inside a container; status and answer. The engine keeps what it runs, and what that prints, on
/// its disk, where neither key nor answer may be found afterwards.
pub(crate) fn call(
    world: &World,
    function: &str,
    key: Option<&str>,
    body: &str,
) -> Result<String, Error> {
    let url = format!("http://{HOST}:{}/function/{function}", world.host.port);
    let mut input = tempfile::tempfile()?;
    input.write_all(key.unwrap_or_default().as_bytes())?;
    input.rewind()?;
    let options = ["--interactive", "--log-driver", "none"];
    let mut call = python(world, &options, CALL)?;
    run(call.args([url.as_str(), body]).stdin(input))
}

/// A container that hands on what comes to a published port; gone when dropped.
pub(crate) struct Relay {
    port: u16,
}

impl Relay {
    pub(crate) fn start(world: &World) -> Result<Self, Error> {
        let options = ["--detach", "--publish", "127.0.0.1::8080"];
        run(python(world, &options, RELAY)?.args([HOST, &world.host.port.to_string()]))?;
        let published = run(Command::new("docker").args(["port", NAME, "8080/tcp"]))?;
        let port = published
            .trim()
            .rsplit_once(':')
            .ok_or_else(|| Error(format!("no port: {published}")))?
            .1
            .parse()?;
        let relay = Self { port };
        eventually("the container to listen", || {
            // A request of no function's: the engine accepts before the container does.
            let answer = crate::http::Request::to("/healthz", "").send_to(relay.address());
            Ok(answer.is_ok())
        })?;
        Ok(relay)
    }

    /// The published port.
    pub(crate) fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = Command::new("docker")
            .args(["rm", "--force", NAME])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
