//! What a test gets, and what most tests ask for.
use std::{fs::File, path::PathBuf};

use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::Signal,
};
use rsfaas::{seal::FILE_NAME, state::StateDir};
use rsfaas_shim::Refusal;

use crate::{
    agent::Agent,
    check::{Error, Outcome, check, eventually},
    client::Client,
    containers::Containers,
    functions::{self, Function},
    gateway::{Gateway, Recording, Seen},
    http::{Answer, KEY_HEADER, Request},
    netns::Namespace,
    scene::{HOST, PORT, Route, Scene},
};

/// The wire, the gateway, the agent and its functions.
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) containers: Containers,
    pub(crate) gateway: Gateway,
    /// What every gateway has read.
    pub(crate) recording: Recording,
    pub(crate) agent: Agent,
    pub(crate) functions: Vec<Function>,
    folder: tempfile::TempDir,
    /// Names of namespaces are the host's: a second run waits for the first.
    _lock: File,
}

impl World {
    pub(crate) fn new() -> Outcome<Self> {
        let lock = File::create("/run/rsfaas-wire.lock")?;
        lock.lock()?;
        // A thousand connections have two ends each in this process.
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
        let folder = tempfile::tempdir()?;
        let scene = Scene::new()?;
        let containers = Containers::new(folder.path(), &functions::ALL)?;
        let recording = Recording::default();
        let gateway = Gateway::start(&scene.host, PORT, &containers, &recording)?;
        let agent = Agent::new(folder.path().to_owned(), &containers)?;
        let state = StateDir::new(agent.state_dir());
        let functions = functions::ALL
            .into_iter()
            .map(|name| functions::seal(folder.path(), &state, &containers, name))
            .collect::<Outcome<_>>()?;
        let world = Self {
            scene,
            containers,
            gateway,
            recording,
            agent,
            functions,
            folder,
            _lock: lock,
        };
        world.agent.start(&world.scene)?;
        Ok(world)
    }

    /// Another gateway.
    pub(crate) fn gateway_at(&self, namespace: &Namespace, port: u16) -> Outcome<Gateway> {
        Gateway::start(namespace, port, &self.containers, &self.recording)
    }

    /// Whatever a test that has failed left behind: the agent runs as most tests need it, with nothing unlocked.
    pub(crate) fn recover(&self) -> Outcome {
        // What it holds it judges itself, if it can: without it the clients would bring their keys to the gateway.
        let _ = self.agent.signal(Signal::SIGCONT);
        if self.agent.is_as_usual() && self.agent.lock_all().is_ok() {
            return Ok(());
        }
        // It may have ended by itself.
        let _ = self.agent.kill();
        self.containers.clear()?;
        self.agent.start(&self.scene)
    }

    pub(crate) fn take_down(&self) -> Outcome {
        let stopped = self.agent.stop();
        self.containers.clear()?;
        std::fs::remove_dir_all(self.folder.path())?;
        self.scene.remove();
        stopped
    }

    pub(crate) fn function(&self, name: &str) -> Outcome<&Function> {
        self.functions
            .iter()
            .find(|function| function.name == name)
            .ok_or_else(|| Error(format!("no function {name}")))
    }

    /// A function's sealed handler.
    pub(crate) fn sealed(&self, function: &str) -> PathBuf {
        self.folder.path().join(function).join(FILE_NAME)
    }

    /// The function that most tests call.
    pub(crate) fn a(&self) -> Outcome<&Function> {
        self.function(functions::A)
    }

    /// Its lease ends.
    pub(crate) fn lease_ends(&self) -> Outcome {
        eventually("the lease to end", || {
            Ok(self.agent.phase(functions::A)? == "locked")
        })
    }

    /// Runs something under an agent with a setting.
    pub(crate) fn with_setting(&self, setting: &str, work: impl FnOnce() -> Outcome) -> Outcome {
        self.agent.stop()?;
        self.agent.start_with(&self.scene, setting)?;
        let done = work();
        self.agent.stop()?;
        self.agent.start(&self.scene)?;
        done
    }

    /// The way that most tests call it: over the wire, IPv4.
    pub(crate) fn route(&self) -> Outcome<Route<'_>> {
        self.scene.wire_to(HOST)
    }

    /// A client that holds a lease, and the name of the container that serves it.
    pub(crate) fn holder(&self) -> Outcome<(Client, String)> {
        let function = self.a()?;
        let mut client = Client::open(self.route()?)?;
        client.write(&Request::keyed(function).bytes())?;
        expect_status(200, &client.answer()?)?;
        let path = self.gateway.only(client.address()?)?.path;
        let name = unlocked_name(function, &path)
            .unwrap_or_default()
            .to_owned();
        Ok((client, name))
    }

    /// A request, sent in these pieces, is answered by the unlocked container, and was rewritten.
    pub(crate) fn is_served<'a>(
        &self,
        route: Route<'_>,
        function: &Function,
        request: &Request,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Outcome {
        let mut client = Client::open(route)?;
        for piece in pieces {
            client.write(piece)?;
        }
        expect_status(200, &client.answer()?)?;
        let seen = self.gateway.only(client.address()?)?;
        is_rewritten(function, request, &seen)
    }

    /// The same for a request that is sent at once.
    pub(crate) fn serves(&self, route: Route<'_>, request: &Request) -> Outcome {
        self.is_served(route, self.a()?, request, [request.bytes().as_slice()])
    }
}

impl Drop for World {
    /// Where the preparation has failed: else it has been taken down.
    fn drop(&mut self) {
        // What went wrong before is what is told.
        let _ = self.agent.kill();
        let _ = self.containers.clear();
    }
}

/// An answer has this status.
pub(crate) fn expect_status(status: u16, answer: &Answer) -> Outcome {
    let text = String::from_utf8_lossy(&answer.body);
    check!(
        answer.status == status,
        "{} instead of {status}: {}",
        answer.status,
        text.chars().take(300).collect::<String>()
    );
    Ok(())
}

/// What the gateway read is the request, led to the unlocked container, as long and without the key.
pub(crate) fn is_rewritten(function: &Function, request: &Request, seen: &Seen) -> Outcome {
    let head = String::from_utf8_lossy(&seen.head);
    check!(
        unlocked_name(function, &seen.path).is_some(),
        "led to {}:\n{head}",
        seen.path
    );
    check!(
        seen.head.len() == request.head().len(),
        "{} bytes of head became {}:\n{head}",
        request.head().len(),
        seen.head.len()
    );
    let lower = head.to_ascii_lowercase();
    check!(
        !lower.contains(&KEY_HEADER.to_ascii_lowercase()),
        "the key header is there:\n{head}"
    );
    for line in request.plain_headers() {
        check!(
            head.contains(&format!("\r\n{line}")),
            "without {line}:\n{head}"
        );
    }
    check!(
        seen.body == request.content(),
        "the body of {} bytes is not the one of {} bytes that was sent",
        seen.body.len(),
        request.content().len()
    );
    Ok(())
}

/// What the gateway read has this reason for the locked function, and no key.
pub(crate) fn expect_refused(refusal: Refusal, seen: &Seen) -> Outcome {
    let head = String::from_utf8_lossy(&seen.head);
    let told = head.lines().find_map(|line| {
        let (name, code) = line.split_once(':')?;
        name.eq_ignore_ascii_case(Refusal::HEADER).then_some(code)
    });
    check!(
        told.and_then(Refusal::from_code) == Some(refusal),
        "not refused for {}:\n{head}",
        refusal.reason()
    );
    let lower = head.to_ascii_lowercase();
    check!(
        !lower.contains(&KEY_HEADER.to_ascii_lowercase()),
        "the key header is there:\n{head}"
    );
    Ok(())
}

/// What the gateway read is the request as it was sent.
pub(crate) fn is_untouched(request: &Request, seen: &Seen) -> Outcome {
    check!(
        seen.head == request.head(),
        "the head was changed:\n{}",
        String::from_utf8_lossy(&seen.head)
    );
    check!(seen.body == request.content(), "the body was changed");
    Ok(())
}

/// The name of the function's unlocked container, where a path leads to one.
pub(crate) fn unlocked_name<'a>(function: &Function, path: &'a str) -> Option<&'a str> {
    let name = path.strip_prefix("/function/")?.split(['/', '?']).next()?;
    let suffix = name.strip_prefix(function.name)?;
    suffix.starts_with('-').then_some(name)
}
