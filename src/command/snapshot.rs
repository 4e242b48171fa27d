//! Snapshots of long aggregates: taken every so many events, in the background, used by the next load.
//!
//! Switched on by `command_snapshot_events`. Nobody waits for one and nothing depends on one: where too many are being
//! written, or one fails, the aggregate is loaded from more events the next time.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tracing::warn;

use super::{Deps, hot::Known};
use crate::{
    aggregate::{AnyAggregate, AnyState},
    log::{StreamId, Version},
    postgres,
};

/// Snapshots written at once; more would take connections from commands.
const CONCURRENT_MAX: usize = 2;

/// When to take one, and how many are being written.
pub(super) struct Snapshots {
    /// Events between two; 0: never.
    every: i64,
    permits: Arc<Semaphore>,
}

impl Snapshots {
    pub(super) fn new(every: i64) -> Self {
        Self { every, permits: Arc::new(Semaphore::new(CONCURRENT_MAX)) }
    }

    /// Whether events between these versions make one due.
    pub(super) fn is_due(&self, before: Version, after: Version) -> bool {
        self.every > 0 && before.0 / self.every < after.0 / self.every
    }
}

impl Deps {
    /// Where a load begins: at the snapshot, where there is one that fits, else before the first event.
    pub(super) async fn nearest(
        &self,
        aggregate: &dyn AnyAggregate,
        stream: &StreamId,
        reading: u64,
    ) -> Result<Known, postgres::Error> {
        let nothing = Known { state: aggregate.initial(), version: Version(0), last: None, reading };
        if self.snapshots.every == 0 {
            return Ok(nothing);
        }
        let Some((version, last, state)) = self.rows.snapshot(stream, aggregate.revision()).await? else {
            return Ok(nothing);
        };
        // One that does not read as a state is as good as none.
        let restored = aggregate.restore(&state);
        Ok(restored.map_or(nothing, |state| Known { state, version, last: Some(last), reading }))
    }

    /// Keeps a state of this version, unless enough are being kept already.
    pub(super) fn keep_snapshot(
        &self,
        aggregate: &dyn AnyAggregate,
        stream: &StreamId,
        version: Version,
        state: &AnyState,
    ) {
        let Ok(permit) = self.snapshots.permits.clone().try_acquire_owned() else {
            return;
        };
        let (rows, stream) = (self.rows.clone(), stream.clone());
        let (state, revision) = (aggregate.state_json(state), aggregate.revision());
        tokio::spawn(async move {
            match rows.keep_snapshot(&stream, version, revision, &state).await {
                Ok(()) => metrics::counter!("annals_snapshots_total").increment(1),
                Err(error) => warn!(stream = %stream.id, %error, "a snapshot was not kept"),
            }
            drop(permit);
        });
    }
}
