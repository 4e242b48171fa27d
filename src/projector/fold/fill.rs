//! Reads from the log what a source does not deliver: one scan for the holes of all partitions.

use std::collections::BTreeMap;

use crate::{
    config, kafka,
    log::{LogReader, StreamTypes},
    postgres,
    projector::batch::{Filled, FilledHole, Hole, Partition},
};

/// Reads what lies in the holes, as much as a batch may hold.
pub(in crate::projector) async fn fill(
    reader: &LogReader,
    holes: &[Hole],
    stream_types: &StreamTypes,
    limits: &config::Projector,
) -> Result<Filled, postgres::Error> {
    let from = holes.iter().map(|hole| hole.from).min().unwrap_or_default();
    let to = holes.iter().map(|hole| hole.to).max().unwrap_or_default();
    let mut names: Vec<String> = holes.iter().map(|hole| hole.partition.stream_type.clone()).collect();
    names.sort();
    names.dedup();
    let events = reader.after(from, Some(&names), limits.batch_events_max, limits.batch_bytes_max).await?;
    let bytes: usize = events.iter().map(|event| event.data.as_str().len()).sum();
    let whole = events.len() < limits.batch_events_max && bytes < limits.batch_bytes_max;
    let scanned_to = match events.last() {
        Some(last) if !whole => last.position,
        _ => to,
    };
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
