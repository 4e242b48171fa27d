//! How far the projections of this process are, for those who wait for them and for those who watch them.
//!
//! Checkpoints only grow here, unless the database has lost some. Workers tell them, and a reader may add what it saw in the
//! database.

use std::{collections::BTreeMap, future::pending, sync::Arc};

use serde::Serialize;
use tokio::sync::{Notify, watch};

use super::batch::Partition;
use crate::log::Position;

/// How a projection is doing in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Status {
    /// No worker of it runs here (yet).
    #[default]
    Idle,
    Running,
    /// It goes on by itself when this passes.
    Waiting {
        reason: String,
    },
    /// An admin paused it.
    Paused,
    /// Its folder, this program or this log does not fit; somebody has to mend that.
    Refused {
        reason: String,
    },
    /// The database refused an event; the reason may show values of it.
    Stopped {
        reason: String,
    },
}

/// What is known of one projection.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub status: Status,
    pub checkpoints: BTreeMap<Partition, Position>,
}

/// What is known of every projection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Progress(Arc<BTreeMap<String, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    seen: watch::Sender<Seen>,
    /// Tells that somebody follows it.
    wanted: Notify,
}

impl Progress {
    /// For these projections, by name.
    pub fn new<'a>(projections: impl IntoIterator<Item = &'a str>) -> Self {
        let entry = |name: &str| (name.to_owned(), Entry::default());
        Self(Arc::new(projections.into_iter().map(entry).collect()))
    }

    /// The status of each projection.
    pub fn statuses(&self) -> BTreeMap<String, Status> {
        self.0.iter().map(|(name, entry)| (name.clone(), entry.seen.borrow().status.clone())).collect()
    }

    /// Whether it is one of them.
    pub fn has(&self, projection: &str) -> bool {
        self.0.contains_key(projection)
    }

    /// Follows a projection, which its worker then makes haste with.
    pub fn watch(&self, projection: &str) -> Option<watch::Receiver<Seen>> {
        let Entry { seen, wanted } = self.0.get(projection)?;
        let watching = seen.subscribe();
        wanted.notify_one();
        Some(watching)
    }

    /// Waits until somebody follows a projection.
    pub(super) async fn wanted(&self, projection: &str) {
        let Some(Entry { seen, wanted }) = self.0.get(projection) else {
            return pending().await;
        };
        while seen.receiver_count() == 0 {
            wanted.notified().await;
        }
    }

    /// Tells how a projection is doing; true if that is news.
    pub(super) fn set_status(&self, projection: &str, status: Status) -> bool {
        self.0.get(projection).is_some_and(|entry| {
            entry.seen.send_if_modified(|seen| {
                let changed = seen.status != status;
                seen.status = status;
                changed
            })
        })
    }

    /// Forgets where a projection was seen: the database has lost it.
    pub(crate) fn forget(&self, projection: &str) {
        if let Some(Entry { seen, .. }) = self.0.get(projection) {
            seen.send_modify(|seen| seen.checkpoints.clear());
        }
    }

    /// Merges in checkpoints that were seen.
    pub(crate) fn advance(
        &self,
        projection: &str,
        seen_now: impl IntoIterator<Item = (Partition, Position)>,
    ) {
        let Some(Entry { seen, .. }) = self.0.get(projection) else {
            return;
        };
        seen.send_if_modified(|seen| {
            let mut grown = false;
            for (partition, position) in seen_now {
                let known = seen.checkpoints.entry(partition).or_default();
                grown |= position > *known;
                *known = position.max(*known);
            }
            grown
        });
    }
}
