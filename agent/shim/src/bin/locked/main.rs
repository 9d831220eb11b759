//! `locked [ADDRESS]`: the function that stands in for a sealed one. It answers each request with why
//! it was refused and what to do, from the table in [`rsfaas_shim::Refusal`].
//!
//! It holds no secret and reads none. Every connection is bounded in time and bytes, and the number of
//! connections in threads. SIGTERM lets begun answers finish.
#![forbid(unsafe_code)]

mod answer;
mod body;
mod connection;
mod head;
mod load;
mod preflight;

use std::{
    env,
    fs::File,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};
use rsfaas_shim::{DEFAULT_KEY_HEADER, FUNCTION, KEY_HEADER};

use crate::{answer::Locked, load::Load};

/// Connections at a time; each has a thread with a small stack.
const CONNECTIONS: usize = 512;
const STACK: usize = 128 * 1024;
/// How long begun requests may take after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            eprintln!("locked: {message}");
            ExitCode::from(code)
        }
    }
}

fn run() -> Result<(), (u8, String)> {
    let Some(function) = env::var(FUNCTION).ok().filter(|name| !name.is_empty()) else {
        return Err((
            78,
            format!("{FUNCTION} is not set; `rsfaas seal` sets it when it deploys"),
        ));
    };
    let header = env::var(KEY_HEADER).unwrap_or_else(|_| DEFAULT_KEY_HEADER.to_owned());
    let locked = Arc::new(Locked { function, header });

    // Blocked before the first thread starts, so that all threads leave them to this one.
    let ends: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    ends.thread_block()
        .map_err(|errno| (71, format!("cannot follow signals: {errno}")))?;

    let (listener, address) = listen()?;
    // Probes of the exec kind look for it; one over HTTP does without, so a read-only root is no harm.
    let lock = env::temp_dir().join(".lock");
    if let Err(error) = File::create(&lock) {
        eprintln!(
            "locked: {}: {error}; /_/health answers all the same",
            lock.display()
        );
    }
    eprintln!(
        "locked: {} is locked, answering on {address}",
        locked.function
    );

    let load = Arc::new(Load::new(CONNECTIONS));
    let accepting = Arc::clone(&load);
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || accept(&listener, &locked, &accepting))
        .map_err(|error| (71, format!("cannot start a thread: {error}")))?;

    ends.wait()
        .map_err(|errno| (71, format!("cannot wait for signals: {errno}")))?;
    load.drain(GRACE);
    Ok(())
}

fn listen() -> Result<(TcpListener, SocketAddr), (u8, String)> {
    let wanted = match env::args().nth(1) {
        Some(text) => match text.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                return Err((
                    64,
                    format!("{text:?} is no address; usage: locked [IP:PORT]"),
                ));
            }
        },
        // The first serves both families, where the host has IPv6 at all.
        None => vec![
            (Ipv6Addr::UNSPECIFIED, 8080).into(),
            (Ipv4Addr::UNSPECIFIED, 8080).into(),
        ],
    };
    let failed = |error| (71, format!("cannot listen on {wanted:?}: {error}"));
    let listener = TcpListener::bind(&wanted[..]).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn accept(listener: &TcpListener, locked: &Arc<Locked>, load: &Arc<Load>) {
    loop {
        let slot = Load::enter(load);
        let started = match listener.accept() {
            Ok((stream, _)) => {
                let locked = Arc::clone(locked);
                thread::Builder::new()
                    .stack_size(STACK)
                    .spawn(move || connection::serve(stream, &locked, &slot))
                    .map(drop)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            // Out of descriptors, memory or threads: others will end soon. Do not spin.
            eprintln!("locked: cannot take a connection: {error}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}
