//! Whoever reads what this program prints may go away, as `| head -1` does. It ends then, quietly, and not by
//! `SIGPIPE`: that would leave behind what is cleaned up when a command ends early (an agent, a policy against services),
//! and a child that does not read its input would end this program too.

use std::{
    any::Any,
    io,
    panic::{self, UnwindSafe},
    process::ExitCode,
};

use nix::errno::Errno;

/// What a shell says of a program that has ended by `SIGPIPE`.
const CLOSED: u8 = 128 + 13;

/// Works as long as somebody reads what is printed.
pub(crate) fn while_there(work: impl FnOnce() -> ExitCode + UnwindSafe) -> ExitCode {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !is_gone(panic.payload()) {
            tell(panic);
        }
    }));
    match panic::catch_unwind(work) {
        Ok(code) => code,
        Err(panic) if is_gone(&*panic) => ExitCode::from(CLOSED),
        Err(panic) => panic::resume_unwind(panic),
    }
}

/// Whether that is the panic of a `println!` that nobody reads.
fn is_gone(panic: &(dyn Any + Send)) -> bool {
    let closed = io::Error::from(Errno::EPIPE).to_string();
    panic
        .downcast_ref::<String>()
        .is_some_and(|text| text.starts_with("failed printing to ") && text.ends_with(&closed))
}
