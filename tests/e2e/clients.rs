//! Programs that people call functions with, each with and without the key.
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    World,
    host::{Error, check, run},
};

const WORD: &str = r#"{"word": "night"}"#;
const ANSWER: &str = "noche";
const LOCKED: &str = "X-RsFaaS-Key";

/// Calls `pydict` by a program; what the program showed of the answer.
pub(crate) type Client = fn(&Target<'_>) -> Result<String, Error>;

/// Whom to call.
pub(crate) struct Target<'a> {
    world: &'a World,
    url: String,
    key: Option<String>,
    folder: tempfile::TempDir,
}

/// Every program.
pub(crate) const ALL: [(&str, Client); 8] = [
    ("curl", curl),
    ("wget", wget),
    ("requests", requests),
    ("aiohttp", aiohttp),
    ("node's fetch", fetch),
    ("go's net/http", net_http),
    ("faas-cli invoke", invoke),
    ("wrk", wrk),
];

/// Calls without and with the key; wrk, which shows no answers, is asked for statuses.
pub(crate) fn calls_with_and_without_the_key(
    world: &World,
    name: &str,
    client: Client,
) -> Result<(), Error> {
    for (key, expected) in [(None, LOCKED), (Some(world.author.key("pydict")?), ANSWER)] {
        let target = Target {
            world,
            url: format!("http://127.0.0.1:{}/function/pydict", world.host.port),
            key,
            folder: tempfile::tempdir()?,
        };
        let text = client(&target)?;
        check!(
            text.contains(expected),
            "{name}: not {expected:?} but:\n{text}"
        );
    }
    world.agent.wait_until_locked("pydict")
}

impl Target<'_> {
    /// The key header, `NAME: VALUE`.
    fn header(&self) -> Option<String> {
        self.key.as_ref().map(|key| format!("{LOCKED}: {key}"))
    }

    /// The key, or nothing.
    fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }

    fn script(&self, name: &str, text: &str) -> Result<std::path::PathBuf, Error> {
        let path = Path::join(self.folder.path(), name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// A program that finds address, body and key in its environment.
    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("URL", &self.url)
            .env("BODY", WORD)
            .env("KEY", self.key());
        command
    }
}

fn curl(target: &Target<'_>) -> Result<String, Error> {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60", "-d", WORD]);
    if let Some(header) = target.header() {
        command.args(["-H", &header]);
    }
    run(command.arg(&target.url))
}

fn wget(target: &Target<'_>) -> Result<String, Error> {
    let mut command = Command::new("wget");
    command.args(["-q", "-O", "-", "--content-on-error", "--post-data", WORD]);
    if let Some(header) = target.header() {
        command.args(["--header", &header]);
    }
    // It ends with 8 for an answer that tells an error.
    let output = command.arg(&target.url).stderr(Stdio::inherit()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn requests(target: &Target<'_>) -> Result<String, Error> {
    let script = "import os, requests\n\
                  key = os.environ['KEY']\n\
                  headers = {'X-RsFaaS-Key': key} if key else {}\n\
                  with requests.Session() as session:\n\
                  \x20   answer = session.post(os.environ['URL'], os.environ['BODY'], headers=headers)\n\
                  \x20   print(answer.text)\n";
    run(target.program("/usr/bin/python3").args(["-c", script]))
}

fn aiohttp(target: &Target<'_>) -> Result<String, Error> {
    let script = "import aiohttp, asyncio, os\n\
                  async def main():\n\
                  \x20   key = os.environ['KEY']\n\
                  \x20   headers = {'X-RsFaaS-Key': key} if key else {}\n\
                  \x20   async with aiohttp.ClientSession() as session:\n\
                  \x20       async with session.post(os.environ['URL'], data=os.environ['BODY'], headers=headers) as answer:\n\
                  \x20           print(await answer.text())\n\
                  asyncio.run(main())\n";
    run(target.program("/usr/bin/python3").args(["-c", script]))
}

fn fetch(target: &Target<'_>) -> Result<String, Error> {
    let script = "const {URL: url, BODY: body, KEY: key} = process.env;\n\
                  const headers = key ? {'X-RsFaaS-Key': key} : {};\n\
                  fetch(url, {method: 'POST', body, headers})\n\
                  \x20 .then((answer) => answer.text()).then(console.log);\n";
    run(target.program("node").args(["-e", script]))
}

fn net_http(target: &Target<'_>) -> Result<String, Error> {
    let script = target.script(
        "main.go",
        r#"package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	request, err := http.NewRequest(http.MethodPost, os.Getenv("URL"), strings.NewReader(os.Getenv("BODY")))
	if err != nil {
		log.Fatal(err)
	}
	if key := os.Getenv("KEY"); key != "" {
		request.Header.Set("X-RsFaaS-Key", key)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
}
"#,
    )?;
    run(target.program("go").arg("run").arg(script))
}

fn invoke(target: &Target<'_>) -> Result<String, Error> {
    let body = target.script("body", WORD)?;
    let mut command = Command::new("faas-cli");
    command.args(["invoke", "pydict", "--gateway"]).arg(
        target
            .url
            .strip_suffix("/function/pydict")
            .unwrap_or_default(),
    );
    if let Some(key) = &target.key {
        command.args(["--header", &format!("{LOCKED}={key}")]);
    }
    // It ends with a failure, and says the answer, where the status tells an error.
    let output = command.stdin(fs::File::open(body)?).output()?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    Ok(text)
}

/// Two seconds of calls over eight connections; every answer must have the status that is expected.
fn wrk(target: &Target<'_>) -> Result<String, Error> {
    let (status, shown) = if target.key.is_some() {
        (200, ANSWER)
    } else {
        (423, LOCKED)
    };
    let header = target.key.as_ref().map_or_else(String::new, |key| {
        format!("wrk.headers[\"{LOCKED}\"] = \"{key}\"\n")
    });
    let script = target.script(
        "calls.lua",
        &format!(
            "wrk.method = \"POST\"\nwrk.body = '{WORD}'\n{header}\
             local threads = {{}}\nfunction setup(thread) table.insert(threads, thread) end\n\
             function init() wrong = 0; right = 0 end\n\
             function response(status) if status == {status} then right = right + 1 else wrong = \
             wrong + 1 end end\n\
             function done() local w, r = 0, 0; for _, t in ipairs(threads) do w = w + \
             t:get(\"wrong\"); r = r + t:get(\"right\") end; print(w .. \" wrong, \" .. r .. \" \
             right\") end\n"
        ),
    )?;
    let mut command = Command::new("wrk");
    command.args(["--threads", "2", "--connections", "8", "--duration", "2s"]);
    let text = run(command
        .args(["--timeout", "30s", "--script"])
        .arg(script)
        .arg(&target.url))?;
    let world = target.world;
    world.agent.wait_until_locked("pydict")?;
    check!(
        text.contains("\n0 wrong, ") && !text.contains("\n0 wrong, 0 right"),
        "wrk:\n{text}"
    );
    Ok(shown.to_owned())
}
