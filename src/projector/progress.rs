//! How far the projections of this process are, for those who wait for them and for those who watch them.
//!
//! Checkpoints only grow here, unless the database has lost some. Workers tell them, and a reader may add what it saw in the
//! database.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::log::{Partition, Position};

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
        /// The same for anyone: nothing that a database said, which may show values.
        told: String,
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

impl Status {
    /// Waits for something that anyone may know of.
    pub(super) fn waiting(reason: impl ToString) -> Self {
        let reason = reason.to_string();
        Self::Waiting { told: reason.clone(), reason }
    }

    /// Waits because of what a database said.
    pub(super) fn waiting_for_database(reason: impl ToString) -> Self {
        let told = "a database does not do what it asks for: the log of this process says why";
        Self::Waiting { reason: reason.to_string(), told: told.into() }
    }
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
    /// Until when it counts as followed in other processes.
    elsewhere: Mutex<Option<Instant>>,
    /// Tells that somebody follows it.
    wanted: Notify,
}

impl Entry {
    fn is_wanted(&self) -> bool {
        let elsewhere = *self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        self.seen.receiver_count() > 0 || elsewhere.is_some_and(|until| Instant::now() < until)
    }
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
        let Entry { seen, wanted, .. } = self.0.get(projection)?;
        let watching = seen.subscribe();
        wanted.notify_one();
        Some(watching)
    }

    /// Somebody of another process follows a projection, for all that is known until then.
    pub(super) fn want(&self, projection: &str, until: Instant) {
        if let Some(entry) = self.0.get(projection) {
            *entry.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
            entry.wanted.notify_one();
        }
    }

    /// Waits until somebody follows a projection.
    pub(super) async fn wanted(&self, projection: &str) {
        let Some(entry) = self.0.get(projection) else {
            return pending().await;
        };
        while !entry.is_wanted() {
            entry.wanted.notified().await;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_waits_elsewhere_counts_for_a_while() {
        let progress = Progress::new(["orders", "projects"]);
        let is_wanted = |projection: &str| progress.wanted(projection).now_or_never().is_some();
        assert!(!is_wanted("orders"));
        progress.want("orders", Instant::now() + Duration::from_secs(3600));
        assert!(is_wanted("orders") && !is_wanted("projects"));
        progress.want("orders", Instant::now());
        assert!(!is_wanted("orders"));
    }
}
