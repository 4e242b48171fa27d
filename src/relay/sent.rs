//! How far the relay is known to have come, for those of this process who wait for it.
//!
//! Told by the relay where it runs in this process, and by whoever looks the outbox up where it does not. Only grows: all
//! that was ever seen stays true.

use std::sync::Arc;

use tokio::sync::watch;

use crate::log::Relayed;

/// What is known. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Sent(watch::Sender<Arc<Relayed>>);

impl Sent {
    /// As it is known now.
    pub fn known(&self) -> Arc<Relayed> {
        self.0.borrow().clone()
    }

    /// Follows it.
    pub fn watch(&self) -> watch::Receiver<Arc<Relayed>> {
        self.0.subscribe()
    }

    /// Merges in what was seen.
    pub fn advance(&self, seen: &Relayed) {
        self.0.send_if_modified(|known| {
            let grown = !known.includes(seen);
            if grown {
                Arc::make_mut(known).merge(seen);
            }
            grown
        });
    }
}
