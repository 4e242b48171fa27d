//! What is known of the relay's progress, and up to where checkpoints make a read model complete.
//!
//! A partition to which nothing newer was sent stands still, while the read model is complete far beyond it. The relay's
//! progress is looked up before the rows are, and may be old: then an answer names an earlier position than it could, and never
//! a later one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tracing::debug;

use crate::{
    log::{LogReader, Partition, Position, Relayed},
    postgres,
    relay::Sent,
    uninterrupted::uninterrupted,
};

/// How long a reader waits for the log to tell of the relay.
const ASK_TIME_MAX: Duration = Duration::from_secs(1);

/// What is known of the relay, looked up again when it is older than so much.
pub(super) struct Relay {
    log: LogReader,
    sent: Sent,
    age_max: Duration,
    /// When it was asked for; held by the one who asks.
    asked: Arc<Mutex<Option<Instant>>>,
}

impl Relay {
    pub(super) fn new(log: LogReader, sent: Sent, age_max: Duration) -> Self {
        Self { log, sent, age_max, asked: Arc::default() }
    }

    /// Waits until everything up to `after` is sent. A relay of this process tells; beside that one of those who wait asks,
    /// `every` so often, for it may be of another one.
    pub(super) async fn beyond(
        &self,
        after: Position,
        every: Duration,
    ) -> Result<Arc<Relayed>, postgres::Error> {
        let mut sent = self.sent.watch();
        loop {
            let known = sent.borrow_and_update().clone();
            if known.cursor >= after {
                return Ok(known);
            }
            if !self.ask(every).await? {
                // Out of time is as good: then it is asked again.
                let _ = timeout(every, sent.changed()).await;
            }
        }
    }

    /// As it was a short while ago. A log that does not answer, or another request that is asking it, is no reason to
    /// wait: what was known before will do.
    pub(super) async fn lately(&self) -> Arc<Relayed> {
        let asked = timeout(ASK_TIME_MAX, self.ask(self.age_max)).await;
        if let Err(error) = asked.unwrap_or(Err(postgres::Error::Silent)) {
            debug!(%error, "the relay's state is not known anew");
        }
        self.sent.known()
    }

    /// Looks it up, unless somebody does or did so less than `age_max` ago; true if so.
    async fn ask(&self, age_max: Duration) -> Result<bool, postgres::Error> {
        let Ok(mut asked) = self.asked.clone().try_lock_owned() else {
            return Ok(false);
        };
        if asked.is_some_and(|asked| asked.elapsed() < age_max) {
            return Ok(false);
        }
        *asked = Some(Instant::now());
        let (log, sent) = (self.log.clone(), self.sent.clone());
        let asking = async move {
            sent.advance(&log.relayed().await?);
            drop(asked);
            Ok(true)
        };
        uninterrupted(asking).await
    }
}

/// Up to where a read model of these stream types is complete, by its checkpoints. `relayed` was seen before they were;
/// `None`: the workers tail the log, and move every checkpoint as far as they have read.
pub(super) fn complete_to(
    checkpoints: &BTreeMap<Partition, Position>,
    relayed: Option<&Relayed>,
    stream_types: &[String],
) -> Position {
    let Some(relayed) = relayed else {
        return checkpoints.values().copied().min().unwrap_or_default();
    };
    let sent = relayed.last_sent.keys().filter(|partition| stream_types.contains(&partition.stream_type));
    let partitions: BTreeSet<_> = sent.chain(checkpoints.keys()).collect();
    let complete = |partition: &Partition| {
        let checkpoint = checkpoints.get(partition).copied().unwrap_or_default();
        relayed.complete_to(partition, checkpoint)
    };
    partitions.into_iter().map(complete).min().unwrap_or(relayed.cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(cursor: i64, sent: &[(i32, i64)], checkpoints: &[(i32, i64)]) -> i64 {
        let of = |number| Partition { stream_type: "order".into(), number };
        let last_sent = sent.iter().map(|(number, sent)| (of(*number), Position(*sent)));
        let other = (Partition { stream_type: "project".into(), number: 0 }, Position(cursor));
        let relayed = Relayed { cursor: Position(cursor), last_sent: last_sent.chain([other]).collect() };
        let checkpoints = checkpoints.iter().map(|(number, position)| (of(*number), Position(*position)));
        complete_to(&checkpoints.collect(), Some(&relayed), &["order".to_owned()]).0
    }

    #[test]
    fn an_empty_partition_holds_no_position_back() {
        assert_eq!(complete(9, &[(0, 7)], &[(0, 7), (1, 0)]), 9);
        assert_eq!(complete(9, &[], &[]), 9);
    }

    #[test]
    fn a_partition_that_is_behind_does() {
        assert_eq!(complete(9, &[(0, 7), (1, 3)], &[(0, 7), (1, 2)]), 2);
        // One that has no checkpoint yet.
        assert_eq!(complete(9, &[(0, 7), (1, 3)], &[(0, 7)]), 0);
    }

    #[test]
    fn what_is_known_of_the_relay_may_be_old() {
        assert_eq!(complete(4, &[(0, 3)], &[(0, 8), (1, 6)]), 6);
    }
}
