//! Subscribers within the process: each event that a command of this process led to, for whoever wants to react.
//!
//! The invariant: no subscriber slows a command down. One that is slow misses events and is told how many; one that fails or
//! panics goes on with the next event. Nothing is repeated after a restart: whoever must not miss an event follows the log or a
//! topic instead.

use std::{error::Error, future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::log::{Published, Subscription};

/// Gives each event to `react`, one after the other, until shutdown or the end of all commands.
pub async fn run<R>(
    name: &'static str,
    mut events: Subscription,
    react: impl Fn(Arc<Published>) -> R,
    shutdown: CancellationToken,
) where
    R: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    let failures = metrics::counter!("annals_subscriber_failures_total", "subscriber" => name);
    let missed = metrics::counter!("annals_subscriber_missed_total", "subscriber" => name);
    while let Some(received) = shutdown.run_until_cancelled(events.recv()).await {
        let event = match received {
            Ok(event) => event,
            Err(RecvError::Lagged(count)) => {
                missed.increment(count);
                warn!(subscriber = name, count, "a subscriber is too slow; it missed events");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let position = event.position;
        let reacting = AssertUnwindSafe(async { react(event).await });
        match shutdown.run_until_cancelled(reacting.catch_unwind()).await {
            Some(Ok(Ok(()))) => continue,
            Some(Ok(Err(error))) => error!(subscriber = name, %position, %error, "a subscriber failed"),
            Some(Err(_)) => error!(subscriber = name, %position, "a subscriber panicked"),
            None => return,
        }
        failures.increment(1);
    }
}
