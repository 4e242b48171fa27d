//! Cuts a batch into waves: groups of events that one statement may fold together.
//!
//! Pure. The i-th event of each stream in the batch goes into wave i; a wave has one group per event type. So a group
//! holds at most one event of a stream, the statements of one wave touch different streams, and running wave after wave
//! keeps the order within each stream while the work stays set-based.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::folder::Order;
use crate::log::Event;

/// Events of one type that are folded by one statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group<'a> {
    pub(super) event_type: &'a str,
    pub(super) events: Vec<&'a Event>,
}

/// The groups of all waves, in the order in which they have to run.
pub(super) fn cut<'a>(events: impl Iterator<Item = &'a Event>, order: Order) -> Vec<Group<'a>> {
    match order {
        Order::Stream => by_stream(events),
        Order::Global => runs(events),
    }
}

fn by_stream<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<Group<'a>> {
    let mut waves: Vec<BTreeMap<&str, Vec<&Event>>> = Vec::new();
    let mut next_wave: HashMap<(&str, Uuid), usize> = HashMap::new();
    for event in events {
        let wave = next_wave.entry((&event.stream_type, event.stream_id)).or_default();
        if *wave == waves.len() {
            waves.push(BTreeMap::new());
        }
        waves[*wave].entry(&event.event_type).or_default().push(event);
        *wave += 1;
    }
    let groups = waves.into_iter().flatten();
    groups.map(|(event_type, events)| Group { event_type, events }).collect()
}

/// Runs of one type in the log's order. A stream's second event ends a run too: a statement sees a stream once.
fn runs<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut streams = HashSet::new();
    for event in events {
        let stream = (&event.stream_type, event.stream_id);
        match groups.last_mut() {
            Some(group) if group.event_type == event.event_type && !streams.contains(&stream) => {
                group.events.push(event);
            }
            _ => {
                streams.clear();
                groups.push(Group { event_type: &event.event_type, events: vec![event] });
            }
        }
        streams.insert(stream);
    }
    groups
}

#[cfg(test)]
mod tests;
