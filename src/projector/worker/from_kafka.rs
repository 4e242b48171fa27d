//! Kafka as a source, and the look at what it has lost.
//!
//! Whoever waits in this process for the read model is not made to wait for Kafka too: then the log is read up to its head,
//! and what Kafka brings of it later is passed over.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{Interruption, Worker, behind::Followed};
use crate::{
    config,
    log::{Partition, Position, Relayed, StreamTypes},
    projector::{
        batch::{Checkpoints, Chunk, Feed, Hole, Scope},
        checkpoint,
        fold::fill::fill,
        generation,
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
        self.followed.send_replace(Followed::Kafka(source.assignment()));
        self.away = None;
        let mut ticks = interval(self.limits.poll_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Sighting::new();
        let (mut topics, mut is_anew, joined) = (self.stream_types.clone(), false, Instant::now());
        // Nothing is known until the first look.
        self.known.clear();
        let mut ahead = Ahead {
            told: self.deps.head.clone(),
            at: Position(0),
            relayed: Relayed::default(),
            passed_over: BTreeMap::new(),
        };
        loop {
            tokio::select! {
                told = source.next() => match told {
                    Some(Told::Chunk { chunk, .. }) if self.is_folded(&chunk) => ahead.pass_over(&chunk),
                    Some(Told::Chunk { chunk, is_much }) => {
                        ahead.forget(&chunk);
                        let began = Instant::now();
                        let passed = self.fold_all(&chunk).await?;
                        if !is_much {
                            self.rest(began, passed).await;
                        }
                    }
                    Some(Told::Away(away)) => {
                        self.away = away;
                        self.say(self.going());
                    }
                    None => return Ok(()),
                },
                () = self.is_awaited(&mut ahead) => {
                    let began = Instant::now();
                    if self.go_ahead(&source, &mut ahead).await? > 1 {
                        // Half of the time is left to those who write.
                        sleep(began.elapsed().min(self.limits.fold_interval)).await;
                    }
                }
                _ = ticks.tick() => {
                    let (now, relayed) = self.look(&source).await?;
                    is_anew |= is_any_anew(&mut topics, &self.stream_types);
                    // Not again and again, where a relay makes them anew at each try: meanwhile the log fills what is missing.
                    if is_anew && joined.elapsed() >= self.limits.session_timeout {
                        return Err(Interruption::TopicAnew);
                    }
                    ahead.relayed = relayed;
                    // Partitions may have come since the log was read last, or it was not as it was told.
                    ahead.at = self.known.values().min().copied().unwrap_or(ahead.at);
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
            let folded = self.fold(chunk, None).await?;
            passed += folded.passed();
            if !folded.more {
                break;
            }
        }
        Ok(passed)
    }

    /// Whether all of this was folded from the log before it came.
    fn is_folded(&self, chunk: &Chunk) -> bool {
        chunk.feeds.iter().all(|(partition, feed)| {
            let known = self.known.get(partition);
            known.is_some_and(|at| feed.records.iter().all(|record| record.event.position <= *at))
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

    /// Folds what the log has for the worker's partitions, as much of it as a batch may hold. What it takes for known is
    /// checked by the fold; where it is wrong nothing moves, and Kafka goes on.
    async fn go_ahead(&mut self, source: &KafkaSource, ahead: &mut Ahead) -> Result<u64, Interruption> {
        let told = *ahead.told.borrow();
        let head = self.deps.reader.head_beyond(ahead.at, told).await?;
        self.know_stream_types().await?;
        let mut readable = source.assigned();
        readable.retain(|partition| self.stream_types.contains_key(&partition.stream_type));
        let holes = ahead.holes(&self.known, &readable, head);
        let mut passed = 0;
        if !holes.is_empty() {
            let mut filled = fill(&self.deps.reader, &holes, &self.stream_types, &self.limits).await?;
            let scanned_to = filled.scanned_to;
            let mut feeds = BTreeMap::new();
            for (partition, hole) in &mut filled.holes {
                // Nothing lies between where it stands and where the reading began.
                hole.from = self.known[partition];
                let next_offset = ahead.passed_over.remove(partition);
                feeds.insert(partition.clone(), Feed { logged: scanned_to, next_offset, ..Feed::default() });
            }
            let folded = self.fold(&Chunk { feeds, scope: Scope::Named }, Some(&filled)).await?;
            passed = folded.passed();
            if folded.more {
                self.known.clear();
            } else if scanned_to < head {
                return Ok(passed);
            }
        }
        // What was told and is not in the log is a rumour; nobody runs after it.
        ahead.at = told.max(head);
        Ok(passed)
    }

    /// Looks where the worker's partitions stand and what was sent to them.
    async fn look(&mut self, source: &KafkaSource) -> Result<(Sighting, Relayed), Interruption> {
        self.refresh().await?;
        let relayed = self.deps.reader.relayed().await?;
        let sent = |partition: &Partition| relayed.last_sent.get(partition).copied().unwrap_or_default();
        let stored = checkpoint::read(&self.deps.read, &self.folder.name, None).await?;
        let assigned = source.assigned();
        let own: Vec<_> = stored.into_iter().filter(|stored| assigned.contains(&stored.partition)).collect();
        let seen = own.iter().map(|stored| (stored.partition.clone(), stored.position));
        self.known = seen.clone().collect();
        self.deps.progress.advance(&self.folder.name, seen);
        let sighting =
            own.iter().map(|stored| (stored.partition.clone(), (stored.position, sent(&stored.partition))));
        Ok((sighting.collect(), relayed))
    }
}

/// How far the log is read ahead of Kafka, for those who wait.
struct Ahead {
    /// The log's head, as it is told.
    told: watch::Receiver<Position>,
    /// Up to here the log was read.
    at: Position,
    /// As it was at the last look.
    relayed: Relayed,
    /// Where the topics go on behind the records that came after they were folded.
    passed_over: BTreeMap<Partition, i64>,
}

impl Ahead {
    /// What is to be read of the log for some partitions. A quiet partition is read from the relay's cursor only: what was
    /// sent to it is folded, so there is nothing before.
    fn holes(&self, known: &Checkpoints, of: &BTreeSet<Partition>, head: Position) -> Vec<Hole> {
        let behind = known.iter().filter(|(partition, at)| of.contains(*partition) && **at < head);
        let hole = |(partition, at): (&Partition, &Position)| {
            let from = self.relayed.complete_to(partition, *at);
            Hole { partition: partition.clone(), from: from.min(head), to: head }
        };
        behind.map(hole).collect()
    }

    fn pass_over(&mut self, chunk: &Chunk) {
        for (partition, feed) in &chunk.feeds {
            if let Some(last) = feed.records.last() {
                self.passed_over.insert(partition.clone(), last.offset + 1);
            }
        }
    }

    /// These are folded from Kafka, further than what was passed over.
    fn forget(&mut self, chunk: &Chunk) {
        self.passed_over.retain(|partition, _| !chunk.feeds.contains_key(partition));
    }
}

/// What was sent and never came: a partition that has not moved since the last look, although more had been sent to it
/// by then. Its topic lost its end, and the log has to fill it.
fn lost(before: &Sighting, now: &Sighting) -> Chunk {
    let feeds = now.iter().filter_map(|(partition, (checkpoint, _))| {
        let (checkpoint_before, sent) = before.get(partition)?;
        let stuck = checkpoint == checkpoint_before && checkpoint < sent;
        stuck.then(|| (partition.clone(), Feed { logged: *sent, ..Feed::default() }))
    });
    Chunk { feeds: feeds.collect(), scope: Scope::Named }
}

/// Whether a topic was made anew since the last look. A consumer that was there before may never read it: librdkafka takes what it is
/// told of a leader for outdated, because leaders' epochs begin at 0 again, and then knows none.
fn is_any_anew(seen: &mut StreamTypes, now: &StreamTypes) -> bool {
    let is_anew =
        seen.iter().any(|(name, then)| now.get(name).is_some_and(|now| now.topic_id != then.topic_id));
    seen.clone_from(now);
    is_anew
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_partition_is_not_looked_for_in_all_of_the_log() {
        let of = |number| Partition { stream_type: "order".into(), number };
        let (_, told) = watch::channel(Position(0));
        let last_sent = [(0, 70), (1, 95)].map(|(number, sent)| (of(number), Position(sent)));
        let relayed = Relayed { cursor: Position(98), last_sent: last_sent.into() };
        let ahead = Ahead { told, at: Position(0), relayed, passed_over: BTreeMap::new() };
        // All sent is folded of 0, not of 1; 2 never had anything; 3 stands at the head, and 4 is another worker's.
        let known =
            [(0, 70), (1, 90), (2, 0), (3, 100), (4, 0)].map(|(number, at)| (of(number), Position(at)));
        let holes = ahead.holes(&known.into(), &(0..4).map(of).collect(), Position(100));
        let holes: Vec<_> =
            holes.iter().map(|hole| (hole.partition.number, hole.from.0, hole.to.0)).collect();
        assert_eq!(holes, [(0, 98, 100), (1, 90, 100), (2, 98, 100)]);
    }
}
