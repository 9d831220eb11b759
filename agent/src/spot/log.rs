//! What the programs log, as events of the agent's own log.
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Level, Log, Metadata, Record};
use tokio::io::{Interest, unix::AsyncFd};

use super::SpotError;

/// The programs' log. It has a ring buffer of its own, which holds no packets.
pub struct ProgramLog(AsyncFd<EbpfLogger<ToTracing>>);

impl ProgramLog {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, SpotError> {
        let logger = EbpfLogger::init_with_logger(ebpf, ToTracing)
            .map_err(|error| SpotError::Log(error.to_string()))?;
        // SAFETY: the logger owns the ring buffer and with it the descriptor, gives the same one each
        // time, and lives inside the `AsyncFd` from here on.
        let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
        logger
            .map(Self)
            .map_err(|error| SpotError::Ring(error.into()))
    }

    /// Writes what there is, and each record that comes, for as long as it is polled.
    ///
    /// # Errors
    /// When the ring buffer cannot be waited for.
    pub async fn forward(&mut self) -> Result<(), SpotError> {
        loop {
            let mut guard = self.0.readable_mut().await.map_err(SpotError::Ring)?;
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    }
}

/// A logger for aya's records: the agent's log is `tracing`'s.
struct ToTracing;

impl Log for ToTracing {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        // Whoever subscribed filters.
        true
    }

    fn log(&self, record: &Record<'_>) {
        let program = record.target();
        let what = record.args();
        // An event's level is a constant.
        match record.level() {
            Level::Error => tracing::error!(program, "{what}"),
            Level::Warn => tracing::warn!(program, "{what}"),
            Level::Info => tracing::info!(program, "{what}"),
            Level::Debug => tracing::debug!(program, "{what}"),
            Level::Trace => tracing::trace!(program, "{what}"),
        }
    }

    fn flush(&self) {}
}
