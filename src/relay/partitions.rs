//! Which record goes where: pure book-keeping of the partitions, the same for every mode.
//!
//! The invariant: within a partition positions only grow. An event at or below its partition's last one is there
//! already, so a log read again from an earlier position repeats nothing and fills what is missing, in order.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    kafka,
    log::{Event, Partition, Position, Relayed},
};

/// Every partition of every topic in use. A slot is the index of one.
#[derive(Default)]
pub(super) struct Partitions {
    topics: HashMap<String, TopicSlots>,
    slots: Vec<Slot>,
}

struct TopicSlots {
    name: Arc<str>,
    first: usize,
    partitions: i32,
}

struct Slot {
    stream_type: Arc<str>,
    partition: i32,
    /// The position of the last record, sent or about to be.
    last: Position,
}

/// A record on its way.
pub(super) struct Outgoing {
    pub(super) event: Event,
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) slot: usize,
    /// Position of the record before it in its partition.
    pub(super) previous: Position,
}

/// What goes to Kafka together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Outgoing>,
    pub(super) bytes: usize,
    pub(super) progress: Progress,
}

/// What is in Kafka once a batch is.
#[derive(Default)]
pub(super) struct Progress {
    /// Every event up to here, over all topics.
    pub(super) cursor: Position,
    /// The last position by slot, also of what was there before.
    pub(super) last_sent: BTreeMap<usize, Position>,
}

impl Partitions {
    /// Adds a stream type whose partitions end at these positions.
    pub(super) fn add(&mut self, stream_type: &str, topic: &str, tails: &[Position]) {
        let shared: Arc<str> = stream_type.into();
        let slots =
            TopicSlots { name: topic.into(), first: self.slots.len(), partitions: tails.len() as i32 };
        self.topics.insert(stream_type.to_owned(), slots);
        self.slots.extend((0..).zip(tails).map(|(partition, tail)| Slot {
            stream_type: shared.clone(),
            partition,
            last: *tail,
        }));
    }

    pub(super) fn knows(&self, stream_type: &str) -> bool {
        self.topics.contains_key(stream_type)
    }

    /// Adds an event to a batch, unless its partition has it already. Its stream type must be known.
    pub(super) fn place(&mut self, event: Event, batch: &mut Batch) {
        batch.progress.cursor = event.position;
        let topic = &self.topics[&event.stream_type];
        let partition = kafka::partition(event.stream_id, topic.partitions);
        let slot = topic.first + partition as usize;
        batch.progress.last_sent.insert(slot, event.position);
        let last = &mut self.slots[slot].last;
        if event.position <= *last {
            return;
        }
        let previous = std::mem::replace(last, event.position);
        batch.bytes += event.data.as_str().len();
        batch.records.push(Outgoing { event, topic: topic.name.clone(), partition, slot, previous });
    }

    /// What a batch's progress means, by name.
    pub(super) fn relayed(&self, progress: &Progress) -> Relayed {
        let named = |(slot, position): (&usize, &Position)| {
            let Slot { stream_type, partition, .. } = &self.slots[*slot];
            (Partition { stream_type: stream_type.to_string(), number: *partition }, *position)
        };
        Relayed { cursor: progress.cursor, last_sent: progress.last_sent.iter().map(named).collect() }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::{json::RawJson, log::Version};

    fn event(position: i64, stream: u128) -> Event {
        Event {
            position: Position(position),
            stream_type: "order".into(),
            stream_id: Uuid::from_u128(stream),
            version: Version(1),
            event_id: Uuid::nil(),
            event_type: "order.created".into(),
            schema_version: 1,
            data: RawJson::trusted("{}"),
            metadata: RawJson::trusted("{}"),
            recorded_at: DateTime::UNIX_EPOCH,
        }
    }

    /// Places an event for each stream given, from position 1; the positions placed, each with the one before it.
    fn place(tails: &[i64], streams: &[u128]) -> (Vec<(i64, i64)>, Batch) {
        let mut partitions = Partitions::default();
        let tails: Vec<Position> = tails.iter().map(|tail| Position(*tail)).collect();
        partitions.add("order", "annals.order", &tails);
        let mut batch = Batch::default();
        for (position, stream) in (1..).zip(streams) {
            partitions.place(event(position, *stream), &mut batch);
        }
        let placed = batch.records.iter().map(|record| (record.event.position.0, record.previous.0));
        (placed.collect(), batch)
    }

    #[test]
    fn records_chain_by_partition() {
        let (placed, batch) = place(&[0], &[1, 2, 1]);
        assert_eq!(placed, [(1, 0), (2, 1), (3, 2)]);
        assert_eq!(batch.progress.cursor, Position(3));
        assert_eq!(batch.progress.last_sent, BTreeMap::from([(0, Position(3))]));
    }

    #[test]
    fn what_a_partition_has_is_passed_over_and_counts_as_progress() {
        let (placed, batch) = place(&[2], &[1, 1, 1]);
        assert_eq!(placed, [(3, 2)]);
        assert_eq!(batch.progress.cursor, Position(3));
        let (placed, batch) = place(&[9], &[1, 1, 1]);
        assert_eq!(placed, []);
        assert_eq!(batch.progress.cursor, Position(3));
        // Else a reader of position 3 would wait for nothing.
        assert_eq!(batch.progress.last_sent, BTreeMap::from([(0, Position(3))]));
    }

    #[test]
    fn a_partition_behind_is_filled_while_the_others_wait() {
        // These two fall into different partitions of two.
        let (a, b) = (1, (2..).find(|b| is_apart(1, *b)).expect("half of all ids are apart"));
        let partition = |stream| kafka::partition(Uuid::from_u128(stream), 2) as usize;
        let mut tails = [0, 0];
        tails[partition(a)] = 3;
        let (placed, _) = place(&tails, &[a, b, a, b, a]);
        assert_eq!(placed, [(2, 0), (4, 2), (5, 3)]);
    }

    fn is_apart(a: u128, b: u128) -> bool {
        kafka::partition(Uuid::from_u128(a), 2) != kafka::partition(Uuid::from_u128(b), 2)
    }
}
