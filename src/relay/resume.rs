//! Where to go on: what the topics really hold, against the log and against what is remembered of them.
//!
//! A topic's tail is the truth. Ahead of the state is normal (the state lags); behind it means that the topic lost
//! records (deleted, made again, cut), and they are sent again from the log before anything newer. A tail that is not an
//! event of this log is refused: going on would mix two histories.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Error, ends::End, in_time, outbox, partitions::Partitions, session::Session, stopped};
use crate::{
    kafka::{self, Record, Tail, Topic},
    log::{Partition, Position, StreamTypes},
};

/// Opens the topics of stream types and learns where their partitions end. Returns the position after which the log has
/// to be read, at most `from`.
pub(super) async fn open(
    session: &Session<'_>,
    stream_types: &StreamTypes,
    partitions: &mut Partitions,
    from: Position,
) -> Result<Position, Error> {
    let topics: Vec<Topic> = stream_types
        .iter()
        .map(|(name, stream_type)| Topic {
            name: kafka::topic(&session.kafka.topic_prefix, name),
            partitions: stream_type.partitions,
        })
        .collect();
    if topics.is_empty() {
        return Ok(from);
    }
    let tails = {
        let (kafka, group, topics) = (session.kafka.clone(), session.relay_id.clone(), topics.clone());
        spawn_blocking(move || {
            kafka::ensure_topics(&kafka, &topics)?;
            Ok::<_, Error>(kafka::read_tails(&kafka, &group, &topics)?)
        })
        .await
        .map_err(|_| Error::Closed)??
    };
    let mut from = from;
    for ((stream_type, topic), tails) in stream_types.keys().zip(&topics).zip(&tails) {
        for tail in tails.iter().filter_map(|tail| tail.last.as_ref()) {
            check(session, &topic.name, tail).await?;
        }
        let ends: Vec<Position> = tails.iter().map(end).collect();
        if let Some(after) = behind(session, stream_type, &ends) {
            let behind = Error::Behind { topic: topic.name.clone(), after };
            stopped(&session.deps.status, behind);
            let renewing = outbox::renew_topic(&session.deps.writer, &session.lease.holder, stream_type);
            in_time(session.config.lease_ttl, renewing).await?;
            from = from.min(after);
        }
        partitions.add(stream_type, &topic.name, &ends);
        let name: Arc<str> = topic.name.as_str().into();
        let known = |tail: &Tail| End { topic: name.clone(), next: tail.end, is_filled: tail.last.is_some() };
        session.ends.add(tails.iter().map(known));
    }
    Ok(from)
}

/// The position of a partition's last record.
fn end(tail: &Tail) -> Position {
    tail.last.as_ref().map(|record| record.event.position).unwrap_or_default()
}

/// The lowest end of those partitions that hold less than was sent to them.
fn behind(session: &Session<'_>, stream_type: &str, ends: &[Position]) -> Option<Position> {
    (0..)
        .zip(ends)
        .filter(|(partition, end)| {
            let sent = Partition { stream_type: stream_type.to_owned(), number: *partition };
            let sent = session.relayed.last_sent.get(&sent);
            sent.is_some_and(|sent| *end < sent)
        })
        .map(|(_, end)| *end)
        .min()
}

/// Whether a tail is an event of this log, as the log has it.
async fn check(session: &Session<'_>, topic: &str, tail: &Record) -> Result<(), Error> {
    if tail.source != session.source {
        return Err(Error::ForeignTopic { topic: topic.to_owned(), source_found: tail.source.clone() });
    }
    let position = tail.event.position;
    let event = in_time(session.config.lease_ttl, session.deps.reader.at(position)).await?;
    if event.is_some_and(|event| event.event_id == tail.event.event_id) {
        Ok(())
    } else {
        Err(Error::LogDiffers { topic: topic.to_owned(), position })
    }
}
