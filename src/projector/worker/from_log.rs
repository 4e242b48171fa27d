//! The log as a source: every partition, up to the log's head.
//!
//! Without Kafka, and for projections that need the order of the whole log. The chunk holds no events, only how far to
//! read: what is missing up to there is a hole like any other. Workers share by taking partitions that nobody holds; one
//! that is behind takes half of them, so that others find some.

use std::collections::BTreeMap;

use super::{Interruption, Worker};
use crate::{
    log::Position,
    projector::{
        batch::{Chunk, Feed, Partition, Scope},
        checkpoint,
        folder::Order,
    },
};

impl Worker {
    pub(super) async fn follow_log(&mut self) -> Interruption {
        loop {
            if let Err(interruption) = self.catch_up().await {
                return interruption;
            }
            self.grown().await;
        }
    }

    /// Folds what there is, until there is no more or others do the rest.
    async fn catch_up(&mut self) -> Result<(), Interruption> {
        let head = self.deps.reader.head().await?;
        self.refresh().await?;
        let mut chunk = self.up_to(head);
        let half = Scope::Free((chunk.feeds.len() as i64 + 1) / 2);
        while !chunk.feeds.is_empty() {
            let folded = self.fold(&chunk).await?;
            if folded.more && self.order() == Order::Stream {
                chunk.scope = half;
            } else if !folded.more && (folded.checkpoints.is_empty() || chunk.scope != half) {
                break;
            }
        }
        let stored = checkpoint::read(&self.deps.read, &self.folder.name, None).await?;
        self.report_lag(&stored, |_| head);
        Ok(())
    }

    /// Every partition, up to the log's head.
    fn up_to(&self, head: Position) -> Chunk {
        let partitions = self.stream_types.iter().flat_map(|(stream_type, known)| {
            (0..known.partitions).map(|number| Partition { stream_type: stream_type.clone(), number })
        });
        let feed = Feed { records: Vec::new(), logged: head };
        let feeds: BTreeMap<_, _> = partitions.map(|partition| (partition, feed.clone())).collect();
        let scope = match self.order() {
            Order::Stream => Scope::Free(feeds.len() as i64),
            Order::Global => Scope::Whole,
        };
        Chunk { feeds, scope }
    }

    /// Waits until the log may have grown.
    async fn grown(&mut self) {
        let changed = async {
            if self.deps.head.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        // Out of time is as good: this is the slow poll.
        let _ = tokio::time::timeout(self.limits.poll_interval, changed).await;
    }
}
