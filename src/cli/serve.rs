//! `annals serve` and `annals worker`.

use std::io::Write;

use annals::{
    config::Config,
    serve::{self, Role},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run this part only; may be given several times.
    #[arg(long = "role", value_enum)]
    roles: Vec<Role>,
}

impl Options {
    pub(crate) fn roles(self) -> Vec<Role> {
        if self.roles.is_empty() { Role::ALL.to_vec() } else { self.roles }
    }
}

/// Runs until SIGTERM or SIGINT; tells until when the process may take to end.
pub(crate) async fn run(config: Config, roles: Vec<Role>) -> anyhow::Result<Instant> {
    let shutdown = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("ending: what was accepted is answered first");
        told.cancel();
    });
    serve::run(config, &roles, shutdown, |address| {
        // Whoever started us waits for this line; if nobody reads it, that is not our business.
        let mut stdout = std::io::stdout();
        let _ = writeln!(stdout, "annals listening on http://{address}").and_then(|()| stdout.flush());
    })
    .await
}
