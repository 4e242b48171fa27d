//! Aggregates kept in memory, and the order of commands on each.
//!
//! Commands on one aggregate are decided here one after the other, each on the state that its predecessor leads to, and queued
//! in that order without waiting for the database: a chain. Each link names the event that it expects to follow, and the log
//! checks it. So a state kept here may be out of date (another process appended) without a wrong answer: the link fails, the
//! state is dropped and read again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use quick_cache::sync::Cache;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    aggregate::AnyState,
    log::{StreamId, Version},
};

/// The states of aggregates that were used lately; bounded by count.
pub(super) struct HotAggregates {
    cache: Option<Cache<StreamId, Arc<Hot>>>,
    readings: AtomicU64,
}

/// One aggregate. The lock is held from reading the state until its command is queued.
pub(super) type Hot = Mutex<Option<Known>>;

/// A state, and the version it belongs to if all that was queued goes through.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) state: AnyState,
    pub(super) version: Version,
    /// The event that led to it; none before the first.
    pub(super) last: Option<Uuid>,
    /// Grows with each reading from the log, so that a failed link drops only the state it was decided on.
    pub(super) reading: u64,
}

impl HotAggregates {
    /// Keeps at most `aggregates_max`; 0 keeps none.
    pub(super) fn new(aggregates_max: usize) -> Self {
        let cache = (aggregates_max > 0).then(|| Cache::new(aggregates_max));
        Self { cache, readings: AtomicU64::new(0) }
    }

    /// The number of a new reading from the log.
    pub(super) fn next_reading(&self) -> u64 {
        self.readings.fetch_add(1, Ordering::Relaxed)
    }

    /// The place of a stream's state; empty when it was not used lately.
    pub(super) fn of(&self, stream: &StreamId) -> Arc<Hot> {
        let Some(cache) = &self.cache else {
            return Arc::default();
        };
        cache
            .get_or_insert_with(stream, || Ok::<_, std::convert::Infallible>(Arc::default()))
            .unwrap_or_else(|never| match never {})
    }
}

/// Drops a state that a failed append showed to be wrong, unless it was read again since.
pub(super) async fn forget(hot: &Hot, reading: u64) {
    let mut known = hot.lock().await;
    if known.as_ref().is_some_and(|known| known.reading == reading) {
        *known = None;
    }
}
