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

    fn tell(&self, published: Arc<Published>) {
        // Nobody listens any more: that is all an error can mean.
        let _ = self.0.send(published);
    }
}

/// Tells subscribers in the log's order, also where a batch had to be sent again and was overtaken by others: then they are
/// told of it, and of all that is settled meanwhile, once those are settled.
pub(super) struct InOrder {
    publisher: Publisher,
    held: Vec<Arc<Published>>,
    /// Batches that are settled before anything more is told.
    awaited: usize,
}

impl InOrder {
    pub(super) fn new(publisher: Publisher) -> Self {
        Self { publisher, held: Vec::new(), awaited: 0 }
    }

    /// A batch is sent again while so many others are on their way.
    pub(super) fn hold(&mut self, others: usize) {
        self.awaited = others;
    }

    /// The next of those that are on their way is about to be settled.
    pub(super) fn proceed(&mut self) {
        self.awaited = self.awaited.saturating_sub(1);
    }

    /// Takes in an append's events, if it took effect.
    pub(super) fn publish(&mut self, append: &Append, outcome: &Result<Outcome, Error>) {
        if self.publisher.0.receiver_count() == 0 {
            return;
        }
        let Some(Effect { first, version, .. }) = effect(append, outcome) else {
            return;
        };
        for (number, event) in (0..).zip(&append.events) {
            self.held.push(Arc::new(Published {
                stream: append.stream.clone(),
                version: Version(version.0 - append.events.len() as i64 + 1 + number),
                position: Position(first.0 + number),
                event: event.clone(),
            }));
        }
    }

    /// Tells of all that was taken in, unless others have to be settled first.
    pub(super) fn tell(&mut self) {
        if self.awaited == 0 {
            self.held.sort_by_key(|published| published.position);
            self.held.drain(..).for_each(|published| self.publisher.tell(published));
        }
    }
}

/// What an append did.
pub(super) struct Effect {
    first: Position,
    pub(super) last: Position,
    /// The stream's, after it.
    version: Version,
}

/// What an append that took effect did, now or, where it had to be sent twice, the first time. `None`: there are no events of
/// it.
pub(super) fn effect(append: &Append, outcome: &Result<Outcome, Error>) -> Option<Effect> {
    let ((first, last), version) = match outcome {
        Ok(Outcome::Appended { version, positions }) => ((*positions)?, *version),
        Ok(Outcome::Duplicate(record)) if record.command_id == append.command_id => {
            (record.positions?, record.version?)
        }
        _ => return None,
    };
    Some(Effect { first, last, version })
}
