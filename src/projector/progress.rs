//! What the projections of this process have come to, for those who wait for them and for those who watch them.
//!
//! Checkpoints only grow here: a reader may merge in what it saw in the database beside what workers tell.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tokio::sync::watch;

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
    /// Somebody has to mend it.
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
pub struct Progress(Arc<BTreeMap<String, watch::Sender<Seen>>>);

impl Progress {
    /// For these projections, by name.
    pub fn new<'a>(projections: impl IntoIterator<Item = &'a str>) -> Self {
        let entry = |name: &str| (name.to_owned(), watch::Sender::new(Seen::default()));
        Self(Arc::new(projections.into_iter().map(entry).collect()))
    }

    /// The status of each projection.
    pub fn statuses(&self) -> BTreeMap<String, Status> {
        self.0.iter().map(|(name, seen)| (name.clone(), seen.borrow().status.clone())).collect()
    }

    /// Follows a projection.
    pub fn watch(&self, projection: &str) -> Option<watch::Receiver<Seen>> {
        self.0.get(projection).map(watch::Sender::subscribe)
    }

    /// Tells how a projection is doing; true if that is news.
    pub(super) fn set_status(&self, projection: &str, status: Status) -> bool {
        self.0.get(projection).is_some_and(|seen| {
            seen.send_if_modified(|seen| {
                let changed = seen.status != status;
                seen.status = status;
                changed
            })
        })
    }

    /// Merges in checkpoints that were seen.
    pub(crate) fn advance(
        &self,
        projection: &str,
        seen_now: impl IntoIterator<Item = (Partition, Position)>,
    ) {
        let Some(seen) = self.0.get(projection) else {
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
