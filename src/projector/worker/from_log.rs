//! The log as a source: every partition, up to the log's head.
//!
//! Without Kafka, and for projections that need the order of the whole log. The chunk holds no events, only how far to
//! read: what is missing up to there is a hole like any other. Workers share by taking partitions that nobody holds; one
//! that is behind takes half of them, so that others find some.

use std::{collections::BTreeMap, convert::Infallible, future::pending};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Interruption, Worker, behind::Followed};
use crate::{
    log::{Partition, Position},
    projector::{
        batch::{Chunk, Feed, Scope},
        folder::Order,
    },
};

impl Worker {
    pub(super) async fn follow_log(&mut self) -> Interruption {
        match self.try_follow_log().await {
            Ok(never) => match never {},
            Err(interruption) => interruption,
        }
    }

    async fn try_follow_log(&mut self) -> Result<Infallible, Interruption> {
        self.followed.send_replace(Followed::Log);
        let (mut told, mut at) = (self.deps.head.clone(), Position(0));
        let mut ticks = interval(self.limits.poll_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let changed = async {
                if told.changed().await.is_err() {
                    // Nobody tells any more; the slow poll goes on.
                    pending::<()>().await;
                }
            };
            tokio::select! {
                () = changed => {
                    let began = Instant::now();
                    let heard = *told.borrow_and_update();
                    let head = self.deps.reader.head_beyond(at, heard).await?;
                    at = at.max(head);
                    let passed = self.catch_up(head).await?;
                    self.rest(began, passed).await;
                }
                _ = ticks.tick() => {
                    self.refresh().await?;
                    let head = self.deps.reader.head().await?;
                    at = at.max(head);
                    self.catch_up(head).await?;
                }
            }
        }
    }

    /// Folds what there is up to `head`, until there is no more or others do the rest; returns how many events it passed.
    /// The head is always the log's own: checkpoints go as far as it says, and a notification is a rumour.
    async fn catch_up(&mut self, head: Position) -> Result<u64, Interruption> {
        self.know_stream_types().await?;
        let mut chunk = self.up_to(head);
        let half = Scope::Free((chunk.feeds.len() as i64 + 1) / 2);
        let mut passed = 0;
        while !chunk.feeds.is_empty() {
            let folded = self.fold(&chunk, None).await?;
            passed += folded.passed();
            if folded.more && self.order() == Order::Stream {
                chunk.scope = half;
            } else if !folded.more && (folded.checkpoints.is_empty() || chunk.scope != half) {
                break;
            }
        }
        Ok(passed)
    }

    /// Every partition, up to the log's head.
    fn up_to(&self, head: Position) -> Chunk {
        let partitions = self.stream_types.iter().flat_map(|(stream_type, known)| {
            (0..known.partitions).map(|number| Partition { stream_type: stream_type.clone(), number })
        });
        let feed = Feed { logged: head, ..Feed::default() };
        let feeds: BTreeMap<_, _> = partitions.map(|partition| (partition, feed.clone())).collect();
        let scope = match self.order() {
            Order::Stream => Scope::Free(feeds.len() as i64),
            Order::Global => Scope::Whole,
        };
        Chunk { feeds, scope }
    }
}
