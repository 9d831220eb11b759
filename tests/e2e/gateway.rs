//! Something between the agent and the gateway that can stop being a good gateway.
use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

use crate::host::Error;

/// How long it takes to fail.
const SLOWNESS: Duration = Duration::from_millis(300);

/// What it does with a connection.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Mood {
    /// Hands it on to the gateway.
    Good,
    /// Answers 500, after a while.
    Failing,
    /// Closes it at once.
    Gone,
    /// Says nothing.
    Hanging,
}

/// It listens until the tests end.
pub(crate) struct FakeGateway {
    port: u16,
    mood: Arc<AtomicU8>,
}

impl FakeGateway {
    /// In front of the gateway on that port of this host.
    pub(crate) fn before(gateway: u16) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let mood = Arc::new(AtomicU8::new(Mood::Good as u8));
        let current = Arc::clone(&mood);
        thread::spawn(move || {
            let mut silent = Vec::new();
            for client in listener.incoming().flatten() {
                match current.load(Ordering::Relaxed) {
                    mood if mood == Mood::Good as u8 => {
                        thread::spawn(move || hand_on(&client, gateway));
                    }
                    mood if mood == Mood::Failing as u8 => {
                        thread::spawn(move || fail(client));
                    }
                    mood if mood == Mood::Hanging as u8 => silent.push(client),
                    _ => {}
                }
            }
        });
        Ok(Self { port, mood })
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on.
    pub(crate) fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::Relaxed);
    }
}

fn hand_on(client: &TcpStream, gateway: u16) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", gateway))?;
    thread::scope(|scope| {
        for (mut from, mut to) in [(client, &server), (&server, client)] {
            scope.spawn(move || {
                // Either side may break off; that is all there is to hand on then.
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
    Ok(())
}

fn fail(mut client: TcpStream) -> io::Result<()> {
    let mut request = [0; 4096];
    let _ = client.read(&mut request)?;
    // By then it may be a good gateway for others.
    thread::sleep(SLOWNESS);
    client.write_all(
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )
}
