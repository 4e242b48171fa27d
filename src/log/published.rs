//! What this process appends, told to whoever listens in it.
//!
//! The invariant: a listener never holds up an append. Each has a bounded backlog; one that falls behind misses the oldest and
//! learns how many. What must not be missed is read from the topics or the log itself.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::{Append, Error, NewEvent, Outcome, Position, StreamId, Version};

/// An event that was appended by this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub stream: StreamId,
    pub version: Version,
    pub position: Position,
    pub event: NewEvent,
}

/// The events of this process from now on, in the order of the log.
pub type Subscription = broadcast::Receiver<Arc<Published>>;

/// Tells subscribers.
#[derive(Clone)]
pub(super) struct Publisher(broadcast::Sender<Arc<Published>>);

impl Publisher {
    /// `backlog_events_max`: how far a subscriber may fall behind.
    pub(super) fn new(backlog_events_max: usize) -> Self {
        Self(broadcast::Sender::new(backlog_events_max))
    }

    pub(super) fn subscribe(&self) -> Subscription {
        self.0.subscribe()
    }

    /// Tells of an append's events, if it took effect.
    pub(super) fn publish(&self, append: &Append, outcome: &Result<Outcome, Error>) {
        if self.0.receiver_count() == 0 {
            return;
        }
        let Some((first, last)) = effect(append, outcome) else {
            return;
        };
        for (number, event) in (0..).zip(&append.events) {
            let published = Published {
                stream: append.stream.clone(),
                version: Version(last.0 - append.events.len() as i64 + 1 + number),
                position: Position(first.0 + number),
                event: event.clone(),
            };
            // Nobody listens any more: that is all it can mean.
            let _ = self.0.send(Arc::new(published));
        }
    }
}

/// The first position and the last version of an append that took effect, now or, where it had to be sent twice, the
/// first time.
fn effect(append: &Append, outcome: &Result<Outcome, Error>) -> Option<(Position, Version)> {
    match outcome {
        Ok(Outcome::Appended { version, positions }) => Some((positions.as_ref()?.0, *version)),
        Ok(Outcome::Duplicate(record)) if record.command_id == append.command_id => {
            Some((record.positions?.0, record.version?))
        }
        _ => None,
    }
}
