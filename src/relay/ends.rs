//! Where the topics end, as far as a session knows, and the look from time to time whether they still go as far.
//!
//! A delivery tells of a topic that was replaced, but a relay at rest has none. Where a topic is gone, or holds less than
//! was sent to it, the session ends: the next one reads what is left and sends the rest again. A topic that is to forget by its
//! settings may be emptied without that, else it would be filled again and again.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{task::spawn_blocking, time::sleep};
use tracing::debug;

use super::{Error, session::Session};
use crate::{config, kafka};

/// The ends of all partitions in use, by slot.
#[derive(Default)]
pub(super) struct Ends(Mutex<Vec<End>>);

/// The end of a partition.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) topic: Arc<str>,
    /// The lowest offset its next record can get. A lower one comes from another topic of the same name.
    pub(super) next: i64,
    /// Whether it holds records.
    pub(super) is_filled: bool,
}

/// What became of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    Gone,
    Cut,
    Emptied,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "is gone",
            Self::Cut => "ends before what was sent to it: it was cut, or made again",
            Self::Emptied => "was emptied",
        })
    }
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, Vec<End>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, ends: impl Iterator<Item = End>) {
        self.lock().extend(ends);
    }

    /// Notes a delivery; false where it cannot be to the topic whose end was known.
    pub(super) fn deliver(&self, slot: usize, offset: i64) -> bool {
        let end = &mut self.lock()[slot];
        let is_beyond = offset >= end.next;
        if is_beyond {
            end.next = offset + 1;
            end.is_filled = true;
        }
        is_beyond
    }
}

/// Looks from time to time; returns when a topic has lost something.
pub(super) async fn watch(session: &Session<'_>) -> Error {
    loop {
        sleep(session.config.topics_interval).await;
        // Before Kafka is asked, which then knows of at least as much.
        let known = session.ends.lock().clone();
        let (kafka, group) = (session.kafka.clone(), session.relay_id.clone());
        match spawn_blocking(move || look(&kafka, &group, &known)).await {
            Ok(Ok(Some(lost))) => return lost,
            Ok(Ok(None)) => {}
            // Whether Kafka is away is told by those who need it.
            Ok(Err(error)) => debug!(%error, "the topics could not be looked at"),
            Err(_) => return Error::Closed,
        }
    }
}

fn look(kafka: &config::Kafka, group: &str, known: &[End]) -> Result<Option<Error>, Error> {
    if known.is_empty() {
        return Ok(None);
    }
    let topics: Vec<&[End]> = known.chunk_by(|a, b| a.topic == b.topic).collect();
    let asked: Vec<_> = topics.iter().map(|ends| (&*ends[0].topic, ends.len() as i32)).collect();
    let found = kafka::read_bounds(kafka, group, &asked)?;
    for (ends, found) in topics.iter().zip(found) {
        let topic = &ends[0].topic;
        match loss(ends, found.as_deref()) {
            None => {}
            Some(Loss::Emptied) if kafka::forgets(kafka, topic)? => {}
            Some(loss) => return Ok(Some(Error::Lost { topic: topic.to_string(), loss })),
        }
    }
    Ok(None)
}

/// What became of a topic, by its known ends and what was found.
fn loss(known: &[End], found: Option<&[Range<i64>]>) -> Option<Loss> {
    let Some(found) = found else {
        return Some(Loss::Gone);
    };
    if known.iter().zip(found).any(|(end, found)| found.end < end.next) {
        return Some(Loss::Cut);
    }
    let is_emptied = known.iter().zip(found).any(|(end, found)| end.is_filled && found.is_empty());
    is_emptied.then_some(Loss::Emptied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(next: i64, is_filled: bool) -> End {
        End { topic: "annals.order".into(), next, is_filled }
    }

    #[test]
    fn a_topic_that_goes_as_far_has_lost_nothing() {
        // The marker of a transaction lies behind its records, and retention may have taken the first of them.
        let known = [end(10, true), end(0, false), end(7, false)];
        assert_eq!(loss(&known, Some(&[3..11, 0..0, 7..7])), None);
    }

    #[test]
    fn what_a_topic_lost_is_told() {
        let known = [end(10, true), end(0, false)];
        assert_eq!(loss(&known, None), Some(Loss::Gone));
        assert_eq!(loss(&known, Some(&[0..9, 0..0])), Some(Loss::Cut));
        assert_eq!(loss(&known, Some(&[11..11, 0..0])), Some(Loss::Emptied));
    }

    #[test]
    fn a_delivery_before_the_end_is_to_another_topic() {
        let ends = Ends::default();
        ends.add([end(10, false)].into_iter());
        assert!(ends.deliver(0, 10) && ends.deliver(0, 12));
        assert!(!ends.deliver(0, 11));
        let end = ends.lock()[0].clone();
        assert_eq!((end.next, end.is_filled), (13, true));
    }
}
