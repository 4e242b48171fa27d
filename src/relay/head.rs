//! The log's head as far as a session knows it: told by the watch, or seen by the slow poll.
//!
//! What is told is a rumour that anybody may spread. The invariant: no more is believed once the log was found to end before it.

use std::{
    future::pending,
    sync::atomic::{AtomicI64, Ordering},
};

use tokio::{sync::watch, time::timeout};

use super::{Error, in_time, session::Session};
use crate::log::Position;

pub(super) struct Head {
    told: watch::Receiver<Position>,
    known: AtomicI64,
    /// The last head that was told and that the log does not hold; it is not believed again.
    rumour: AtomicI64,
}

impl Head {
    pub(super) fn new(told: watch::Receiver<Position>, known: Position) -> Self {
        Self { told, known: AtomicI64::new(known.0), rumour: AtomicI64::new(0) }
    }

    pub(super) fn known(&self) -> Position {
        Position(self.known.load(Ordering::Relaxed))
    }

    /// What is known with what has been told since.
    pub(super) fn look(&self) -> Position {
        let told = self.told.borrow().0;
        if told != self.rumour.load(Ordering::Relaxed) {
            self.known.fetch_max(told, Ordering::Relaxed);
        }
        self.known()
    }

    /// Goes back to where the log was found to end.
    pub(super) fn disbelieve(&self, end: Position) {
        let believed = self.known.swap(end.0, Ordering::Relaxed);
        self.rumour.store(believed, Ordering::Relaxed);
    }

    /// Waits until the head is beyond `after`.
    pub(super) async fn beyond(&self, session: &Session<'_>, after: Position) -> Result<Position, Error> {
        let mut told = self.told.clone();
        loop {
            told.mark_unchanged();
            if self.look() > after {
                return Ok(self.known());
            }
            // Where nobody tells any more, the poll goes on.
            let changed = async {
                if told.changed().await.is_err() {
                    pending::<()>().await;
                }
            };
            if timeout(session.config.poll_interval, changed).await.is_err() {
                self.poll(session).await?;
            }
        }
    }

    async fn poll(&self, session: &Session<'_>) -> Result<(), Error> {
        let reader = &session.deps.reader;
        // More may be recorded while the log is asked.
        let recorded = session.recorded.load(Ordering::Relaxed);
        let asking = async { Ok((reader.relayed().await?, reader.head().await?)) };
        let (relayed, head) = in_time(session.config.lease_ttl, asking).await?;
        // A crash of the database may have come and gone unseen. What it took is in the topics' tails.
        if relayed.cursor.0 < recorded {
            return Err(Error::StateLost);
        }
        self.known.fetch_max(head.0, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rumour_is_believed_once() {
        let (tell, told) = watch::channel(Position(5));
        let head = Head::new(told, Position(5));
        tell.send_replace(Position(1_000_000));
        assert_eq!(head.look(), Position(1_000_000));
        head.disbelieve(Position(5));
        assert_eq!(head.look(), Position(5));
        // The truth is told again.
        tell.send_replace(Position(6));
        assert_eq!(head.look(), Position(6));
    }
}
