//! Reading the log: by position for the relay and the projectors, by stream for aggregates.
//!
//! Every read is bounded in events and in bytes, so that no history and no event size fills the memory. The invariant: no event
//! is handed out before it is on the disk. Commits may be visible earlier; when the last event read is newer than what is known
//! to be durable, it is read again in a transaction that waits for the disk.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{Object, Pool};
use futures_util::TryStreamExt;
use tokio::sync::watch;
use tokio_postgres::{Row, RowStream, types::ToSql};
use uuid::Uuid;

use super::{Event, Position, StreamId, Version};
use crate::postgres;

const AFTER: &str = include_str!("read_after.sql");
const STREAM: &str = include_str!("read_stream.sql");
const AT: &str = include_str!("read_at.sql");
const HEAD: &str = include_str!("head.sql");
const FLUSH: &str = include_str!("flush.sql");
const FLUSH_EVENT: &str = include_str!("flush_event.sql");
const LAG: &str = include_str!("lag.sql");
const RECORDED: &str = include_str!("recorded.sql");
const STREAM_TYPES: &str = include_str!("stream_types.sql");
const RELAYED: &str = include_str!("relayed.sql");

/// Events of the first round trip, while nothing is known of their size.
const FETCH_EVENTS: usize = 256;
/// Each further round trip fetches at most so many times what there is already.
const FETCH_GROWTH: usize = 4;

/// Most bytes of data in one reading of a stream; the last event may exceed it.
const STREAM_BYTES_MAX: usize = 16 << 20;

/// Some events.
#[derive(Debug, Clone, Default)]
pub struct Events {
    pub events: Vec<Event>,
    /// Whether there may be more than it was to hold.
    pub more: bool,
}

/// The stream types with events, by name.
pub type StreamTypes = BTreeMap<String, StreamType>;

/// How a stream type is spread over its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamType {
    /// Fixed at the type's first event.
    pub partitions: i32,
    /// The topic's incarnation; offsets of another one are worth nothing.
    pub topic_id: Uuid,
}

/// A partition of a stream type, the same with Kafka and without.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    pub stream_type: String,
    pub number: i32,
}

/// How far the relay has come, as it noted it: the truth may be further.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Every event up to here is in its topic.
    pub cursor: Position,
    /// The last position sent to each partition.
    pub last_sent: BTreeMap<Partition, Position>,
}

impl Relayed {
    /// Whether `other` says nothing new.
    pub fn includes(&self, other: &Self) -> bool {
        let known = |(partition, sent)| self.last_sent.get(partition).is_some_and(|known| known >= sent);
        self.cursor >= other.cursor && other.last_sent.iter().all(known)
    }

    /// Up to where a partition is complete that has come to `checkpoint`: one to which nothing newer was sent has nothing
    /// more up to the cursor.
    pub fn complete_to(&self, partition: &Partition, checkpoint: Position) -> Position {
        let sent = self.last_sent.get(partition).copied().unwrap_or_default();
        if checkpoint < sent { checkpoint } else { checkpoint.max(self.cursor) }
    }

    /// Adds what was seen at another time.
    pub fn merge(&mut self, other: &Self) {
        self.cursor = self.cursor.max(other.cursor);
        for (partition, sent) in &other.last_sent {
            let known = self.last_sent.entry(partition.clone()).or_default();
            *known = (*known).max(*sent);
        }
    }
}

/// How far the relay is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    pub head: Position,
    /// Age of the oldest event that is not in Kafka yet; zero where all are.
    pub relay: Duration,
}

/// That an event was recorded, without what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub position: Position,
    pub stream_type: String,
    pub stream_id: Uuid,
    pub age_seconds: f64,
}

/// Reads the log through a pool.
#[derive(Clone)]
pub struct LogReader {
    pool: Pool,
    /// Up to where the log was seen to be on the disk.
    flushed: Arc<AtomicI64>,
    /// Up to where this process appended, and was answered.
    appended: Option<watch::Receiver<Position>>,
    /// The mean bytes of data of the events that were read last.
    size: Arc<AtomicUsize>,
}

impl LogReader {
    pub fn new(pool: Pool) -> Self {
        Self { pool, flushed: Arc::default(), appended: None, size: Arc::default() }
    }

    /// One that is told what this process `appended`, and need not wait for the disk up to there. Never a notification of
    /// other processes, which anybody may send.
    pub fn beside(pool: Pool, appended: watch::Receiver<Position>) -> Self {
        Self { appended: Some(appended), ..Self::new(pool) }
    }

    /// Closes the idle connections of the pool: they may be dead without an error.
    pub fn give_up_connections(&self) {
        self.pool.retain(|_, _| false);
    }

    /// The last position, 0 while the log is empty.
    pub async fn head(&self) -> Result<Position, postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(FLUSH).await?;
        let head = Position(client.query_one(&statement, &[]).await?.get(0));
        self.saw(head);
        Ok(head)
    }

    /// A head beyond `at`, if there is one; possibly not the newest: a known durable one that covers `told` saves a flush.
    pub async fn head_beyond(&self, at: Position, told: Position) -> Result<Position, postgres::Error> {
        let known = self.known();
        if known > at && known >= told {
            // A failover may have taken it.
            let client = self.pool.get().await?;
            let statement = client.prepare_cached(HEAD).await?;
            let known = known.min(Position(client.query_one(&statement, &[]).await?.get(0)));
            if known > at {
                return Ok(known);
            }
        }
        self.head().await
    }

    /// Up to where the log is known to be on the disk, without asking.
    pub fn known(&self) -> Position {
        let appended = self.appended.as_ref().map_or(0, |appended| appended.borrow().0);
        Position(appended.max(self.flushed.load(Ordering::Relaxed)))
    }

    fn saw(&self, head: Position) {
        self.flushed.fetch_max(head.0, Ordering::Relaxed);
    }

    /// Whether the disk holds these events, which end with the newest.
    async fn holds(&self, client: &Object, events: &[Event]) -> Result<bool, postgres::Error> {
        let Some(last) = events.last().filter(|last| last.position > self.known()) else {
            return Ok(true);
        };
        let statement = client.prepare_cached(FLUSH_EVENT).await?;
        let row = client.query_one(&statement, &[&last.position.0, &last.event_id]).await?;
        self.saw(Position(row.get(1)));
        Ok(row.get(0))
    }

    /// Events after `after` of these stream types (`None`: all), in order. Ends early at `bytes_max` of data, so fewer
    /// than `events_max` does not mean that there are no more; none does.
    pub async fn after(
        &self,
        after: Position,
        stream_types: Option<&[String]>,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Event>, postgres::Error> {
        Ok(self.between(after, Position(i64::MAX), stream_types, events_max, bytes_max).await?.events)
    }

    /// The same, up to a position, beyond which nothing is looked at; and whether there may be more up to there.
    pub async fn between(
        &self,
        after: Position,
        up_to: Position,
        stream_types: Option<&[String]>,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Events, postgres::Error> {
        let mut client = self.pool.get().await?;
        // No more lie between the two, and few are read in one round trip.
        let among = up_to.0.saturating_sub(after.0).max(0);
        let events_max = events_max.min(usize::try_from(among).unwrap_or(usize::MAX));
        let limit = events_max as i64;
        loop {
            let parameters: [&(dyn ToSql + Sync); 4] = [&after.0, &stream_types, &limit, &among];
            let (mut events, mut more) =
                self.fetch(&mut client, AFTER, &parameters, events_max, bytes_max).await?;
            let within = events.partition_point(|event| event.position <= up_to);
            more &= within == events.len() && among > 0;
            more &= events.last().is_none_or(|last| last.position < up_to);
            events.truncate(within);
            if self.holds(&client, &events).await? {
                return Ok(Events { events, more });
            }
        }
    }

    /// Events of one stream after a version, in order, at most `events_max`, and fewer where they are large.
    pub async fn stream(
        &self,
        stream: &StreamId,
        after: Version,
        events_max: usize,
    ) -> Result<Events, postgres::Error> {
        let mut client = self.pool.get().await?;
        let limit = events_max as i64;
        loop {
            let parameters: [&(dyn ToSql + Sync); 4] = [&stream.stream_type, &stream.id, &after.0, &limit];
            let (events, more) =
                self.fetch(&mut client, STREAM, &parameters, events_max, STREAM_BYTES_MAX).await?;
            if self.holds(&client, &events).await? {
                return Ok(Events { events, more });
            }
        }
    }

    /// How far the relay is behind the log.
    pub async fn lag(&self) -> Result<Lag, postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(LAG).await?;
        let row = client.query_one(&statement, &[]).await?;
        let relay = Duration::try_from_secs_f64(row.get(1)).unwrap_or_default();
        Ok(Lag { head: Position(row.get(0)), relay })
    }

    /// Which events of these stream types come after a position, in order, found among `among`; the last of those is told in
    /// any case.
    pub async fn recorded(
        &self,
        after: Position,
        stream_types: &[String],
        events_max: usize,
        among: i64,
    ) -> Result<Vec<Recorded>, postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(RECORDED).await?;
        let rows = client.query(&statement, &[&after.0, &stream_types, &(events_max as i64), &among]).await?;
        let recorded = |row: &Row| Recorded {
            position: Position(row.get(0)),
            stream_type: row.get(1),
            stream_id: row.get(2),
            age_seconds: row.get(3),
        };
        Ok(rows.iter().map(recorded).collect())
    }

    /// The event at a position.
    pub async fn at(&self, position: Position) -> Result<Option<Event>, postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(AT).await?;
        loop {
            let event = client.query_opt(&statement, &[&position.0]).await?.as_ref().map(event);
            if self.holds(&client, event.as_slice()).await? {
                return Ok(event);
            }
        }
    }

    /// How far the relay has come.
    pub async fn relayed(&self) -> Result<Relayed, postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(RELAYED).await?;
        let mut relayed = Relayed::default();
        for row in client.query(&statement, &[]).await? {
            relayed.cursor = Position(row.get(0));
            if let Some(stream_type) = row.get(1) {
                let partition = Partition { stream_type, number: row.get(2) };
                relayed.last_sent.insert(partition, Position(row.get(3)));
            }
        }
        Ok(relayed)
    }

    /// The stream types that have events.
    pub async fn stream_types(&self) -> Result<StreamTypes, postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(STREAM_TYPES).await?;
        let rows = client.query(&statement, &[]).await?;
        Ok(rows
            .iter()
            .map(|row| (row.get(0), StreamType { partitions: row.get(1), topic_id: row.get(2) }))
            .collect())
    }

    /// Fetches through a portal, so that the server does not send much more than the limit in bytes: each fetch asks for as
    /// many as seem to fit, the first one by what was read before; what fits it takes one round trip. Tells too whether
    /// there may be more; whoever has to know must not guess it from numbers and bytes.
    async fn fetch(
        &self,
        client: &mut Object,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
        events_max: usize,
        bytes_max: usize,
    ) -> Result<(Vec<Event>, bool), postgres::Error> {
        let statement = client.prepare_cached(statement).await?;
        // One more meets the limit.
        let fitting = bytes_max / self.size.load(Ordering::Relaxed).max(1);
        let first = fitting.saturating_add(1).min(FETCH_EVENTS);
        let mut events: Vec<Event> = Vec::new();
        if events_max <= first {
            let rows = client.query_raw(&statement, parameters.iter().copied()).await?;
            let bytes = take(rows, bytes_max, &mut events).await?;
            self.saw_sizes(bytes, events.len());
            let more = bytes >= bytes_max || events.len() == events_max;
            return Ok((events, more));
        }
        let transaction = client.transaction().await?;
        let portal = transaction.bind(&statement, parameters).await?;
        let (mut bytes, mut wanted, mut more) = (0, first, true);
        while wanted > 0 {
            let before = events.len();
            let rows = transaction.query_portal_raw(&portal, wanted as i32).await?;
            bytes += take(rows, bytes_max - bytes, &mut events).await?;
            more = bytes >= bytes_max || events.len() - before == wanted;
            // Where less than one more seems to fit, nothing is asked for, though the limit is not met.
            let fitting = bytes_max.saturating_sub(bytes) / (bytes / events.len().max(1)).max(1);
            wanted = if more {
                fitting.min(events.len() * FETCH_GROWTH).min(events_max - events.len())
            } else {
                0
            };
        }
        transaction.commit().await?;
        self.saw_sizes(bytes, events.len());
        Ok((events, more))
    }

    fn saw_sizes(&self, bytes: usize, events: usize) {
        if let Some(mean) = bytes.checked_div(events) {
            self.size.store(mean, Ordering::Relaxed);
        }
    }
}

/// Takes events until they have `bytes_max` of data; returns how much they have.
async fn take(rows: RowStream, bytes_max: usize, events: &mut Vec<Event>) -> Result<usize, postgres::Error> {
    let (mut rows, mut bytes) = (pin!(rows), 0);
    while bytes < bytes_max
        && let Some(row) = rows.try_next().await?
    {
        let event = event(&row);
        bytes += event.data.as_str().len();
        events.push(event);
    }
    Ok(bytes)
}

/// An event of a row with these ten columns, in this order.
pub(crate) fn event(row: &Row) -> Event {
    Event {
        position: Position(row.get(0)),
        stream_type: row.get(1),
        stream_id: row.get(2),
        version: Version(row.get(3)),
        event_id: row.get(4),
        event_type: row.get(5),
        schema_version: row.get(6),
        data: row.get(7),
        metadata: row.get(8),
        recorded_at: row.get(9),
    }
}
