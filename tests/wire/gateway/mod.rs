//! A gateway that remembers every byte that its sockets read.
//!
//! It routes as OpenFaaS' does: a function's own name leads to the locked function (423), the name of an
//! unlocked container to that container, as long as there is one (200, else 502), and any other name
//! nowhere (404).
mod conversation;
mod http;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

pub(crate) use conversation::Seen;
use conversation::{Conversation, converse};

use crate::{
    check::{Outcome, fail},
    containers::Containers,
    netns::Namespace,
};

/// What was read from some connections, in the order in which they came.
#[derive(Clone, Default)]
pub(crate) struct Recording(Arc<Mutex<Vec<Arc<Conversation>>>>);

impl Recording {
    fn push(&self, conversation: &Arc<Conversation>) {
        lock(&self.0).push(Arc::clone(conversation));
    }

    /// Every byte that was read, one text a connection.
    pub(crate) fn everything(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        lock(&self.0)
            .iter()
            .map(|conversation| (conversation.peer, lock(&conversation.bytes).clone()))
            .collect()
    }
}

/// The gateway; it serves until the process ends.
pub(crate) struct Gateway {
    own: Recording,
}

impl Gateway {
    /// Listens in a namespace, on every address. What is read is added to what all gateways have read.
    pub(crate) fn start(
        namespace: &Namespace,
        port: u16,
        containers: &Containers,
        all: &Recording,
    ) -> Outcome<Self> {
        let listener = namespace.enter(|| Ok(TcpListener::bind(("::", port))?))?;
        let gateway = Self {
            own: Recording::default(),
        };
        let recordings = [gateway.own.clone(), all.clone()];
        let containers = containers.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(peer) = stream.peer_addr() else {
                    continue;
                };
                let conversation = Arc::new(Conversation::new(canonical(peer)));
                for recording in &recordings {
                    recording.push(&conversation);
                }
                let containers = containers.clone();
                // A connection that breaks off is the client's to tell.
                thread::spawn(move || converse(stream, &conversation, &containers));
            }
        });
        Ok(gateway)
    }

    /// The requests that were read from a client's latest connection, in order.
    pub(crate) fn seen(&self, peer: SocketAddr) -> Outcome<Vec<Seen>> {
        let recording = lock(&self.own.0);
        match recording
            .iter()
            .rfind(|conversation| conversation.peer == peer)
        {
            Some(conversation) => Ok(lock(&conversation.seen).clone()),
            None => fail(format!("the gateway never saw a connection from {peer}")),
        }
    }

    /// How many bytes were read from a client's latest connection.
    pub(crate) fn has_read(&self, peer: SocketAddr) -> usize {
        let recording = lock(&self.own.0);
        let latest = recording
            .iter()
            .rfind(|conversation| conversation.peer == peer);
        latest.map_or(0, |conversation| lock(&conversation.bytes).len())
    }

    /// The one request that was read from a client's latest connection.
    pub(crate) fn only(&self, peer: SocketAddr) -> Outcome<Seen> {
        let mut seen = self.seen(peer)?;
        match (seen.pop(), seen.len()) {
            (Some(only), 0) => Ok(only),
            (_, others) => fail(format!("the gateway read {others} requests more or less")),
        }
    }
}

/// IPv4 addresses as such, also where the socket is one of IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What a thread that panicked has recorded still counts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
