//! Templates and handlers, small ones.
use std::path::Path;

use rsfaas::rebuild::mount::{DeliveryPlace, Entry, EntryKind, PlaceContent};

/// A template as OpenFaaS has them: the server imports the handler and listens afterwards.
pub(crate) const INDEX: &str = r#"
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

/// The same with a server that runs in an event loop.
pub(crate) const ASYNC_INDEX: &str = r#"
import asyncio, json, os
from function import handler

async def serve(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    body = json.dumps(handler.handle(head.split()[1][1:].decode()))
    writer.write(f"HTTP/1.0 200 OK\r\n\r\n{body}".encode())
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["TEST_PORT"]))
    await server.serve_forever()

asyncio.run(main())
"#;

pub(crate) const HANDLER: &str = r#"
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
pub(crate) const INDEX_JS: &str = r#"
const http = require("http");
const handler = require("./function/handler");
http.createServer((request, response) => {
  Promise.resolve(handler(request.url.slice(1))).then((result) => response.end(JSON.stringify(result)));
}).listen(process.env.TEST_PORT, "127.0.0.1");
"#;

/// The same as an ES module.
pub(crate) const INDEX_MJS: &str = r#"
import http from "http";
import handler from "./function/handler.js";
http.createServer((request, response) => {
  response.end(JSON.stringify(handler(request.url.slice(1))));
}).listen(process.env.TEST_PORT, "127.0.0.1");
"#;

pub(crate) const HANDLER_JS: &str = r#"
const words = require("./words");
const fs = require("fs");
const hidden = ["RSFAAS_PARK_TOKEN", "RSFAAS_HANDLER_DIR", "NODE_OPTIONS"];
module.exports = (word) => {
  if (word === "environment") return hidden.filter((name) => name in process.env);
  if (word === "data") return fs.readFileSync(__dirname + "/words/data.txt", "utf8");
  return words[word];
};
"#;

pub(crate) fn folder_place<'a>(path: &'a Path, entries: &[Entry<'a>]) -> DeliveryPlace<'a> {
    DeliveryPlace {
        path,
        content: PlaceContent::Folder(entries.to_vec()),
    }
}

pub(crate) fn file<'a>(path: &'a str, content: &'a str) -> Entry<'a> {
    Entry {
        path: Path::new(path),
        mode: 0o644,
        kind: EntryKind::File(content.as_bytes()),
    }
}

pub(crate) fn handler_js() -> [Entry<'static>; 3] {
    [
        file("handler.js", HANDLER_JS),
        file("words/data.txt", "words"),
        file("words/index.js", "module.exports = { night: 'Nacht' };\n"),
    ]
}

pub(crate) fn handler() -> [Entry<'static>; 3] {
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
