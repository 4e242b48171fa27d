//! The tasks of a process. One that panics ends the process, in order and as failed, so that whoever started it starts it
//! again: a part that is gone for good must not look like one that works.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
};

use futures_util::FutureExt;
use tokio::time;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

pub(super) struct Tasks {
    tracker: TaskTracker,
    /// Begins the end of the process.
    shutdown: CancellationToken,
    /// The first part that panicked.
    panicked: Arc<OnceLock<&'static str>>,
}

/// A part panicked.
#[derive(Debug, thiserror::Error)]
#[error("{0} panicked")]
pub(super) struct Panicked(&'static str);

impl Tasks {
    pub(super) fn new(shutdown: CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), shutdown, panicked: Arc::default() }
    }

    /// Runs a part of the process.
    pub(super) fn spawn(&self, part: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (shutdown, panicked) = (self.shutdown.clone(), self.panicked.clone());
        self.tracker.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                // Its own text went to stderr by the panic hook.
                error!(part, "a part of this process panicked: the process ends");
                // Another may have been first.
                let _ = panicked.set(part);
                shutdown.cancel();
            }
        });
    }

    /// Waits for the ends of all that were told to end, until `deadline`; an error where one had panicked.
    pub(super) async fn end(self, deadline: time::Instant) -> Result<(), Panicked> {
        self.tracker.close();
        if time::timeout_at(deadline, self.tracker.wait()).await.is_err() {
            warn!(left = self.tracker.len(), "the time for the shutdown is over; what is left is cut off");
        }
        self.panicked.get().map_or(Ok(()), |part| Err(Panicked(part)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_ends_the_process_as_failed() {
        let shutdown = CancellationToken::new();
        let tasks = Tasks::new(shutdown.clone());
        let ending = shutdown.clone();
        tasks.spawn("the other", async move { ending.cancelled().await });
        tasks.spawn("the appender", async { panic!("on purpose") });
        let deadline = time::Instant::now() + Duration::from_secs(10);
        time::timeout_at(deadline, shutdown.cancelled()).await.expect("the process ends");
        let ended = tasks.end(deadline).await;
        assert_eq!(ended.map_err(|error| error.to_string()), Err("the appender panicked".to_owned()));
    }

    #[tokio::test]
    async fn parts_that_end_by_themselves_end_nothing() {
        let shutdown = CancellationToken::new();
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn("the relay", async {});
        tasks.end(time::Instant::now() + Duration::from_secs(10)).await.expect("nothing panicked");
        assert!(!shutdown.is_cancelled());
    }
}
