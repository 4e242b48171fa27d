//! Topics against the log, by position: what a topic lacks with newer records behind it cannot be sent any more without
//! breaking the order of versions. It is reported here; and on request the topic is deleted, so that the relay sends all
//! of it again, in order, as a fresh incarnation.
//!
//! Reads only, but for [`send_again`]. Bounded memory: both sides are read side by side.

use std::{collections::HashMap, mem, time::Duration};

use deadpool_postgres::Pool;
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{Error, lease::Lease, outbox};
use crate::{
    config,
    kafka::{self, Contents, Record, Topic},
    log::{Event, LogReader, Position, StreamTypes},
};

/// How often the lease is asked for, and taken from another one who was faster to take it.
const SEIZE_INTERVAL: Duration = Duration::from_millis(20);
const SEIZE_TRIES: usize = 10;
/// Positions that a report names; beyond them it counts.
const NAMED_MAX: usize = 1_000;

/// How a topic differs from the log, up to where the relay had come at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Comparison {
    pub topic: String,
    pub stream_type: String,
    /// Events of the log that the topic has to hold.
    pub events: u64,
    /// Events that the topic lacks.
    pub missing: Positions,
    /// How many of those come after the last record of their partition: the relay sends them in order, or is about to.
    pub behind: u64,
    /// Events that the topic is without because it forgets by its own settings.
    pub forgotten: u64,
    /// Records that are not the log's event at their position.
    pub foreign: Positions,
    /// Records that came before already: what low-latency mode may do after a crash.
    pub repeated: Positions,
}

/// Some positions: how many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Positions {
    pub count: u64,
    pub first: Vec<Position>,
}

impl Positions {
    fn add(&mut self, position: Position) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(position);
        }
    }

    fn append(&mut self, others: Self) {
        self.count += others.count;
        self.first.extend(others.first);
        self.first.sort_unstable();
        self.first.truncate(NAMED_MAX);
    }
}

impl Comparison {
    /// Whether the topic tells another history than the log.
    pub fn is_wrong(&self) -> bool {
        self.missing.count + self.foreign.count > 0
    }

    /// Whether it can only be mended by a fresh incarnation of the topic.
    pub fn is_beyond_repair(&self) -> bool {
        self.missing.count > self.behind || self.foreign.count > 0
    }
}

/// Compares every topic with the log, up to the relay's cursor. `progress` is told how far of which position it is.
pub async fn compare(
    reader: &LogReader,
    kafka: &config::Kafka,
    limits: &config::Relay,
    mut progress: impl FnMut(Position, Position) + Send + 'static,
) -> Result<Vec<Comparison>, Error> {
    let cursor = reader.relayed().await?.cursor;
    let stream_types = reader.stream_types().await?;
    let (reader, kafka, limits) = (reader.clone(), kafka.clone(), limits.clone());
    spawn_blocking(move || {
        let mut sides = Sides::open(&kafka, &stream_types)?;
        let mut read = Position(0);
        while read < cursor {
            let after = reader.after(read, None, limits.batch_events_max, limits.batch_bytes_max);
            let events = Handle::current().block_on(after)?;
            let Some(last) = events.last() else { break };
            read = last.position;
            for event in events.iter().filter(|event| event.position <= cursor) {
                sides.compare(event)?;
            }
            progress(read.min(cursor), cursor);
        }
        sides.end(cursor, &kafka)
    })
    .await
    .map_err(|_| Error::Closed)?
}

/// Has topics made again, empty, and the relay begin anew, which sends what topics lack at their ends. Nobody relays
/// meanwhile: what a relay without transactions puts into a topic that was just made has a hole before it. Where somebody
/// may have (`LeaseLost`), it is to be asked for again. Appends go on.
pub async fn send_again(
    kafka: &config::Kafka,
    limits: &config::Relay,
    writer: &Pool,
    topics: Vec<String>,
) -> Result<(), Error> {
    let kafka = kafka.clone();
    let stream_types = LogReader::new(writer.clone()).stream_types().await?;
    let known = stream_types.iter().map(|(name, known)| Topic {
        name: kafka::topic(&kafka.topic_prefix, name),
        partitions: known.partitions,
    });
    let topics: Vec<Topic> = known.filter(|topic| topics.contains(&topic.name)).collect();
    let lease = seize(writer, limits.lease_ttl).await?;
    let made = spawn_blocking(move || kafka::make_topics_anew(&kafka, &topics)).await;
    let is_lost = lease.lost().is_cancelled();
    lease.release().await;
    made.map_err(|_| Error::Closed)??;
    if is_lost { Err(Error::LeaseLost) } else { Ok(()) }
}

/// Takes the lease from whoever relays, once they must have noticed.
async fn seize(pool: &Pool, ttl: Duration) -> Result<Lease, Error> {
    for _ in 0..SEIZE_TRIES {
        outbox::revoke_lease(pool).await?;
        let deadline = Instant::now() + 2 * ttl;
        while Instant::now() < deadline {
            if let Some(lease) = Lease::take(pool, ttl).await? {
                return Ok(lease);
            }
            sleep(SEIZE_INTERVAL).await;
        }
    }
    Err(Error::LeaseLost)
}

/// All topics beside the log.
struct Sides(HashMap<String, Side>);

struct Side {
    contents: Contents,
    partitions: i32,
    /// By partition.
    found: Vec<Found>,
    /// Events before the first record of their partition.
    before: Positions,
    comparison: Comparison,
}

/// What was found in a partition so far.
#[derive(Clone, Default)]
struct Found {
    /// The last position.
    last: Position,
    /// What it lacks since then.
    missing: Positions,
}

impl Sides {
    fn open(kafka: &config::Kafka, stream_types: &StreamTypes) -> Result<Self, Error> {
        kafka::knock(kafka)?;
        let group = format!("{}.reconcile.{}", kafka.topic_prefix, Uuid::now_v7());
        let mut sides = HashMap::new();
        for (name, stream_type) in stream_types {
            let topic =
                Topic { name: kafka::topic(&kafka.topic_prefix, name), partitions: stream_type.partitions };
            let side = Side {
                contents: Contents::open(kafka, &group, &topic)?,
                partitions: topic.partitions,
                found: vec![Found::default(); topic.partitions as usize],
                before: Positions::default(),
                comparison: Comparison {
                    topic: topic.name,
                    stream_type: name.clone(),
                    events: 0,
                    missing: Positions::default(),
                    behind: 0,
                    forgotten: 0,
                    foreign: Positions::default(),
                    repeated: Positions::default(),
                },
            };
            sides.insert(name.clone(), side);
        }
        Ok(Self(sides))
    }

    fn compare(&mut self, event: &Event) -> Result<(), Error> {
        // A stream type that is newer than the comparison has nothing at or below the cursor.
        let Some(side) = self.0.get_mut(&event.stream_type) else { return Ok(()) };
        let partition = kafka::partition(event.stream_id, side.partitions);
        side.comparison.events += 1;
        while let Some(record) = side.contents.next(partition, event.position)? {
            if is_same(event, &record) {
                side.find(partition, event.position);
                return Ok(());
            }
            side.stray(partition, &record);
        }
        side.found[partition as usize].missing.add(event.position);
        Ok(())
    }

    /// What the topics hold beyond the log's last event of theirs, and what they lack at their ends.
    fn end(mut self, cursor: Position, kafka: &config::Kafka) -> Result<Vec<Comparison>, Error> {
        for side in self.0.values_mut() {
            side.end(kafka)?;
            for partition in 0..side.partitions {
                while let Some(record) = side.contents.next(partition, cursor)? {
                    side.stray(partition, &record);
                }
            }
        }
        let mut comparisons: Vec<_> = self.0.into_values().map(|side| side.comparison).collect();
        comparisons.sort_by(|a, b| a.topic.cmp(&b.topic));
        Ok(comparisons)
    }
}

impl Side {
    fn find(&mut self, partition: i32, position: Position) {
        let found = &mut self.found[partition as usize];
        let missing = mem::take(&mut found.missing);
        match found.last {
            Position(0) => self.before.append(missing),
            _ => self.comparison.missing.append(missing),
        }
        found.last = position;
    }

    fn end(&mut self, kafka: &config::Kafka) -> Result<(), Error> {
        let (mut behind, mut empty) = (Positions::default(), Positions::default());
        for Found { last, missing } in self.found.iter().cloned() {
            if last == Position(0) { empty.append(missing) } else { behind.append(missing) }
        }
        let comparison = &mut self.comparison;
        comparison.behind = behind.count;
        comparison.missing.append(behind);
        let forgotten = self.before.count + empty.count;
        if forgotten > 0 && kafka::forgets(kafka, &comparison.topic)? {
            comparison.forgotten = forgotten;
            return Ok(());
        }
        comparison.behind += empty.count;
        comparison.missing.append(empty);
        comparison.missing.append(mem::take(&mut self.before));
        Ok(())
    }

    /// Notes a record that the log does not have at this place.
    fn stray(&mut self, partition: i32, record: &Record) {
        let position = record.event.position;
        if position <= self.found[partition as usize].last {
            self.comparison.repeated.add(position);
        } else {
            self.comparison.foreign.add(position);
        }
    }
}

/// Whether a record is this event, whole.
fn is_same(event: &Event, record: &Record) -> bool {
    let Event { position, stream_id, version, event_id, event_type, schema_version, data, .. } = event;
    let found = &record.event;
    (*position, *stream_id, *version, *event_id, *schema_version)
        == (found.position, found.stream_id, found.version, found.event_id, found.schema_version)
        && *event_type == found.event_type
        && *data == found.data
}
