//! Reads from the log what a source does not deliver: one scan for the holes of all partitions.

use std::collections::BTreeMap;

use crate::{
    config, kafka,
    log::{Events, LogReader, Partition, Position, StreamTypes},
    postgres,
    projector::batch::{Filled, FilledHole, Hole},
};

/// Reads what lies in the holes, as much as a batch may hold, and of a log that holds little for them as much as may be looked
/// through: a fold reads while it holds its checkpoints, and must not seem to have fallen silent.
pub(in crate::projector) async fn fill(
    reader: &LogReader,
    holes: &[Hole],
    stream_types: &StreamTypes,
    limits: &config::Projector,
) -> Result<Filled, postgres::Error> {
    let from = holes.iter().map(|hole| hole.from).min().unwrap_or_default();
    let to = holes.iter().map(|hole| hole.to).max().unwrap_or_default();
    let to = to.min(Position(from.0.saturating_add(limits.scan_events_max)));
    // A hole that begins beyond what is looked through gets nothing now, and its events would only be in the way.
    let near = holes.iter().filter(|hole| hole.from < to);
    let mut names: Vec<String> = near.map(|hole| hole.partition.stream_type.clone()).collect();
    names.sort();
    names.dedup();
    let (events_max, bytes_max) = (limits.batch_events_max, limits.batch_bytes_max);
    let Events { events, more } = reader.between(from, to, Some(&names), events_max, bytes_max).await?;
    let scanned_to = scanned_to(events.last().map(|last| last.position), more, to);
    let bounds: BTreeMap<&Partition, &Hole> = holes.iter().map(|hole| (&hole.partition, hole)).collect();
    let mut filled: BTreeMap<Partition, FilledHole> = holes
        .iter()
        .map(|hole| (hole.partition.clone(), FilledHole { from: hole.from, events: Vec::new() }))
        .collect();
    for event in events {
        let Some(stream_type) = stream_types.get(&event.stream_type) else {
            continue;
        };
        let number = kafka::partition(event.stream_id, stream_type.partitions);
        let partition = Partition { stream_type: event.stream_type.clone(), number };
        let inside = |hole: &&Hole| hole.from < event.position && event.position <= hole.to;
        if bounds.get(&partition).is_some_and(inside)
            && let Some(hole) = filled.get_mut(&partition)
        {
            hole.events.push(event);
        }
    }
    Ok(Filled { holes: filled, scanned_to })
}

/// Up to where nothing is missing of what was read for holes that end at `to`. The log may have grown beyond that meanwhile,
/// by events that are of no hole.
fn scanned_to(last: Option<Position>, more: bool, to: Position) -> Position {
    match last {
        Some(last) if more => last.min(to),
        _ => to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_never_counts_further_than_the_holes_go() {
        let last = Some(Position(4));
        assert_eq!(scanned_to(last, false, Position(9)), Position(9), "there is no more");
        assert_eq!(scanned_to(last, true, Position(9)), Position(4), "it was cut");
        assert_eq!(scanned_to(last, true, Position(3)), Position(3), "4 came while 3 was the head");
    }
}
