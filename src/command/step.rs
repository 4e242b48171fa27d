//! The steps of a command, wherever they are: each is timed and logged with its correlation id, here alone.
//!
//! authenticate → body → schema → fingerprint → load → decide → append; `annals_step_seconds{step=…}`.

use tokio::time::Instant;
use tracing::debug;

/// A step that goes on; it ends when this is dropped.
pub(crate) struct Step<'a> {
    name: &'static str,
    correlation_id: &'a str,
    started: Instant,
}

impl<'a> Step<'a> {
    pub(crate) fn start(name: &'static str, correlation_id: &'a str) -> Self {
        Self { name, correlation_id, started: Instant::now() }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        metrics::histogram!("annals_step_seconds", "step" => self.name).record(elapsed);
        debug!(step = self.name, correlation = self.correlation_id, ?elapsed);
    }
}
