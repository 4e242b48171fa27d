//! Kafka as a source, and the look at what it has lost.
//!
//! Whoever waits in this process for the read model is not made to wait for Kafka too: then the log is read up to its head,
//! and what Kafka brings of it later is passed over.

use std::{collections::BTreeMap, future::pending};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{Interruption, Worker};
use crate::{
    config,
    log::Position,
    projector::{
        batch::{Chunk, Feed, Partition, Received, Scope},
        checkpoint, generation,
        kafka_source::{KafkaSource, Subscription, Told},
    },
};

/// For each partition of this worker what its checkpoint was, and what had been sent to it.
type Sighting = BTreeMap<Partition, (Position, Position)>;

impl Worker {
    pub(super) async fn follow_kafka(&mut self, kafka: &config::Kafka) -> Interruption {
        match self.try_follow_kafka(kafka).await {
            Ok(()) => Interruption::ConsumerEnded,
            Err(interruption) => interruption,
        }
    }

    async fn try_follow_kafka(&mut self, kafka: &config::Kafka) -> Result<(), Interruption> {
        let mut source = KafkaSource::start(Subscription {
            deps: self.deps.clone(),
            kafka: kafka.clone(),
            limits: self.limits.clone(),
            projection: self.folder.name.clone(),
            stream_types: generation::stream_types(&self.generations),
        })?;
        self.away = None;
        let mut ticks = interval(self.limits.poll_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Sighting::new();
        let mut ahead = Ahead { told: self.deps.head.clone(), at: Position(0), passed_over: BTreeMap::new() };
        loop {
            tokio::select! {
                told = source.next() => match told {
                    Some(Told::Chunk(chunk)) if self.is_folded(&chunk) => ahead.pass_over(chunk),
                    Some(Told::Chunk(chunk)) => {
                        let began = Instant::now();
                        let passed = self.fold_all(&chunk).await?;
                        self.rest(began, passed).await;
                    }
                    Some(Told::Away(away)) => {
                        self.away = away;
                        self.say(self.going());
                    }
                    None => return Ok(()),
                },
                () = self.is_awaited(&mut ahead) => self.go_ahead(&source, &mut ahead).await?,
                _ = ticks.tick() => {
                    let now = self.look(&source).await?;
                    let lost = lost(&before, &now);
                    self.fold_all(&lost).await?;
                    before = now;
                }
            }
        }
    }

    /// Folds all of a chunk; returns how many events it passed.
    async fn fold_all(&mut self, chunk: &Chunk) -> Result<u64, Interruption> {
        let mut passed = 0;
        while !chunk.feeds.is_empty() {
            let folded = self.fold(chunk).await?;
            passed += folded.passed();
            if !folded.more {
                break;
            }
        }
        Ok(passed)
    }

    /// Whether the log was read beyond all of this.
    fn is_folded(&self, chunk: &Chunk) -> bool {
        chunk.feeds.iter().all(|(partition, feed)| {
            let checkpoint = self.deps.progress.checkpoint(&self.folder.name, partition);
            feed.records.last().is_none_or(|record| record.event.position <= checkpoint)
        })
    }

    /// Waits until somebody waits for this projection and the log has grown.
    async fn is_awaited(&self, ahead: &mut Ahead) {
        let at = ahead.at;
        if ahead.told.wait_for(|head| *head > at).await.is_err() {
            // Nobody tells any more; Kafka goes on.
            pending::<()>().await;
        }
        self.deps.progress.wanted(&self.folder.name).await;
    }

    /// Folds what the log has for the worker's partitions.
    async fn go_ahead(&mut self, source: &KafkaSource, ahead: &mut Ahead) -> Result<(), Interruption> {
        let told = *ahead.told.borrow();
        let head = self.deps.reader.head().await?;
        // One that was told and is not there is a rumour, which nobody is to run after.
        ahead.at = told.max(head);
        let mut passed_over = std::mem::take(&mut ahead.passed_over);
        let feed = |partition: Partition| {
            let records = passed_over.remove(&partition).into_iter().collect();
            (partition, Feed { records, logged: head })
        };
        let feeds = source.assigned().into_iter().map(feed).collect();
        self.fold_all(&Chunk { feeds, scope: Scope::Named }).await?;
        Ok(())
    }

    /// Looks where the worker's partitions stand and what was sent to them.
    async fn look(&mut self, source: &KafkaSource) -> Result<Sighting, Interruption> {
        self.refresh().await?;
        let relayed = self.deps.reader.relayed().await?;
        let sent = |partition: &Partition| {
            let key = (partition.stream_type.clone(), partition.number);
            relayed.last_sent.get(&key).copied().unwrap_or_default()
        };
        let stored = checkpoint::read(&self.deps.read, &self.folder.name, None).await?;
        let assigned = source.assigned();
        let own: Vec<_> = stored.into_iter().filter(|stored| assigned.contains(&stored.partition)).collect();
        self.report_lag(&own, |stored| sent(&stored.partition));
        let seen = own.iter().map(|stored| (stored.partition.clone(), stored.position));
        self.deps.progress.advance(&self.folder.name, seen);
        Ok(own
            .into_iter()
            .map(|stored| (stored.partition.clone(), (stored.position, sent(&stored.partition))))
            .collect())
    }
}

/// How far the log was read for those who wait.
struct Ahead {
    told: watch::Receiver<Position>,
    at: Position,
    /// Of each partition the last record that was folded before it came: it says where the topic goes on.
    passed_over: BTreeMap<Partition, Received>,
}

impl Ahead {
    fn pass_over(&mut self, chunk: Chunk) {
        let last = |(partition, mut feed): (Partition, Feed)| Some((partition, feed.records.pop()?));
        self.passed_over.extend(chunk.feeds.into_iter().filter_map(last));
    }
}

/// What was sent and never came: a partition that has not moved since the last look, although more had been sent to it
/// by then. Its topic lost its end, and the log has to fill it.
fn lost(before: &Sighting, now: &Sighting) -> Chunk {
    let feeds = now.iter().filter_map(|(partition, (checkpoint, _))| {
        let (checkpoint_before, sent) = before.get(partition)?;
        let stuck = checkpoint == checkpoint_before && checkpoint < sent;
        stuck.then(|| (partition.clone(), Feed { records: Vec::new(), logged: *sent }))
    });
    Chunk { feeds: feeds.collect(), scope: Scope::Named }
}
