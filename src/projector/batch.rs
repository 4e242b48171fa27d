//! From what a source delivers to what is folded next.
//!
//! Pure. One rule for every source: an event at or below its partition's checkpoint is skipped, and a record that does
//! not follow the checkpoint tells of a hole, which is filled from the log. So redelivery, rebalances, lost topics and
//! going from Kafka to the log and back all come to the same rows. A chunk may be staged again and again until it has
//! no holes left: what was folded meanwhile is skipped.

use std::collections::BTreeMap;

use crate::log::{Event, Partition, Position};

/// Where each partition stands.
pub(super) type Checkpoints = BTreeMap<Partition, Position>;

/// What a source delivers at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunk {
    pub(super) feeds: BTreeMap<Partition, Feed>,
    /// Which of its partitions to fold.
    pub(super) scope: Scope,
}

/// Which partitions of a chunk a worker takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of them; it waits for whoever holds one.
    #[default]
    Named,
    /// At most so many that nobody holds, those that are furthest behind first.
    Free(i64),
    /// All of them or none.
    Whole,
}

/// What there is to fold for one partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Feed {
    /// In the partition's order.
    pub(super) records: Vec<Received>,
    /// The log is to be read up to here, after the records.
    pub(super) logged: Position,
    /// Where its topic goes on if there are no records, as far as that is known.
    pub(super) next_offset: Option<i64>,
}

/// A record with its place in its topic.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) event: Event,
    /// Position of the record before it in its partition.
    pub(super) previous: Position,
    pub(super) offset: i64,
}

/// Events of a partition that have to come from the log: those after `from` and up to `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) partition: Partition,
    pub(super) from: Position,
    pub(super) to: Position,
}

/// What was read from the log for holes.
#[derive(Debug, Clone, Default)]
pub(super) struct Filled {
    pub(super) holes: BTreeMap<Partition, FilledHole>,
    /// Nothing between the holes' beginnings and here is missing.
    pub(super) scanned_to: Position,
}

#[derive(Debug, Clone)]
pub(super) struct FilledHole {
    pub(super) from: Position,
    pub(super) events: Vec<Event>,
}

/// What is folded in one transaction.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch<'a> {
    /// In the order of their positions, each with its partition.
    pub(super) events: Vec<(&'a Partition, &'a Event)>,
    /// Where the partitions stand afterwards.
    pub(super) moved: BTreeMap<&'a Partition, Moved>,
    /// What could not be staged, because events before it are missing.
    pub(super) holes: Vec<Hole>,
}

/// How far a partition comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) from: Position,
    pub(super) to: Position,
    /// Where its topic goes on, where that is known.
    pub(super) next_offset: Option<i64>,
}

impl<'a> Batch<'a> {
    /// Stages what follows the checkpoints. Partitions that have none are left out.
    pub(super) fn stage(chunk: &'a Chunk, checkpoints: &Checkpoints, filled: &'a Filled) -> Self {
        let mut batch = Self::default();
        for (partition, feed) in &chunk.feeds {
            if let Some(checkpoint) = checkpoints.get(partition) {
                batch.stage_partition(partition, feed, *checkpoint, filled);
            }
        }
        batch.events.sort_by_key(|(_, event)| event.position);
        batch
    }

    fn stage_partition(
        &mut self,
        partition: &'a Partition,
        feed: &'a Feed,
        checkpoint: Position,
        filled: &'a Filled,
    ) {
        let mut at = Moved { from: checkpoint, to: checkpoint, next_offset: feed.next_offset };
        let mut whole = true;
        for record in &feed.records {
            if record.event.position > at.to {
                whole = self.follow(partition, &mut at, record.previous, filled);
                if !whole {
                    break;
                }
                self.events.push((partition, &record.event));
                at.to = record.event.position;
            }
            at.next_offset = Some(record.offset + 1);
        }
        if whole {
            self.follow(partition, &mut at, feed.logged, filled);
        }
        if at.to > checkpoint {
            self.moved.insert(partition, at);
        }
    }

    /// Comes up to `to` with what was read from the log; false, and a hole noted, where that does not reach.
    fn follow(&mut self, partition: &'a Partition, at: &mut Moved, to: Position, filled: &'a Filled) -> bool {
        if to <= at.to {
            return true;
        }
        if let Some(hole) = filled.holes.get(partition).filter(|hole| hole.from == at.to) {
            let events = hole.events.iter().filter(|event| event.position <= to);
            self.events.extend(events.map(|event| (partition, event)));
            // The scan may have ended before this hole begins: it serves other partitions too.
            at.to = at.to.max(to.min(filled.scanned_to));
        }
        if at.to < to {
            self.holes.push(Hole { partition: partition.clone(), from: at.to, to });
        }
        at.to >= to
    }

    /// Leaves out everything from `position` on.
    pub(super) fn cut(&mut self, position: Position) {
        let last = Position(position.0 - 1);
        self.events.retain(|(_, event)| event.position <= last);
        for moved in self.moved.values_mut().filter(|moved| moved.to > last) {
            moved.to = last.max(moved.from);
            moved.next_offset = None;
        }
        self.moved.retain(|_, moved| moved.to > moved.from);
    }
}

#[cfg(test)]
mod tests;
