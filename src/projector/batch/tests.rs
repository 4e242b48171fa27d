use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{json::RawJson, log::Version};

fn partition() -> Partition {
    Partition { stream_type: "order".into(), number: 0 }
}

fn event(position: i64) -> Event {
    Event {
        position: Position(position),
        stream_type: "order".into(),
        stream_id: Uuid::nil(),
        version: Version(1),
        event_id: Uuid::nil(),
        event_type: "order.paid".into(),
        schema_version: 1,
        data: RawJson::trusted("{}"),
        metadata: RawJson::trusted("{}"),
        recorded_at: chrono::DateTime::UNIX_EPOCH,
    }
}

/// Records as (previous, position); the offset after it is the position plus 100.
fn chunk(records: &[(i64, i64)], logged: i64) -> Chunk {
    let received = |(previous, position): &(i64, i64)| Received {
        event: event(*position),
        previous: Position(*previous),
        offset: position + 99,
    };
    let feed =
        Feed { records: records.iter().map(received).collect(), logged: Position(logged), next_offset: None };
    Chunk { feeds: BTreeMap::from([(partition(), feed)]), scope: Scope::Named }
}

fn at(position: i64) -> Checkpoints {
    BTreeMap::from([(partition(), Position(position))])
}

fn filled(from: i64, events: &[i64], scanned_to: i64) -> Filled {
    let events = events.iter().map(|position| event(*position)).collect();
    let hole = FilledHole { from: Position(from), events };
    Filled { holes: BTreeMap::from([(partition(), hole)]), scanned_to: Position(scanned_to) }
}

/// Positions staged, where the partition stands, its next offset, and the hole.
type Staged = (Vec<i64>, i64, Option<i64>, Option<(i64, i64)>);

fn staged(chunk: &Chunk, checkpoint: i64, filled: &Filled) -> Staged {
    let batch = Batch::stage(chunk, &at(checkpoint), filled);
    let moved = batch.moved.get(&partition());
    (
        batch.events.iter().map(|(_, event)| event.position.0).collect(),
        moved.map_or(checkpoint, |moved| moved.to.0),
        moved.and_then(|moved| moved.next_offset),
        batch.holes.first().map(|hole| (hole.from.0, hole.to.0)),
    )
}

#[test]
fn what_was_folded_is_skipped() {
    let chunk = chunk(&[(0, 2), (2, 5), (5, 9)], 0);
    assert_eq!(staged(&chunk, 0, &Filled::default()), (vec![2, 5, 9], 9, Some(109), None));
    assert_eq!(staged(&chunk, 5, &Filled::default()), (vec![9], 9, Some(109), None));
    assert_eq!(staged(&chunk, 9, &Filled::default()), (vec![], 9, None, None));
}

#[test]
fn a_hole_stops_the_partition_until_the_log_fills_it() {
    let chunk = chunk(&[(0, 2), (7, 9)], 0);
    assert_eq!(staged(&chunk, 0, &Filled::default()), (vec![2], 2, Some(102), Some((2, 7))));
    assert_eq!(staged(&chunk, 2, &filled(2, &[4, 7], 7)), (vec![4, 7, 9], 9, Some(109), None));
}

#[test]
fn a_hole_larger_than_a_batch_is_filled_piece_by_piece() {
    let chunk = chunk(&[(7, 9)], 0);
    assert_eq!(staged(&chunk, 0, &filled(0, &[2, 4], 5)), (vec![2, 4], 5, None, Some((5, 7))));
    assert_eq!(staged(&chunk, 5, &filled(5, &[7], 8)), (vec![7, 9], 9, Some(109), None));
}

#[test]
fn a_scan_that_ended_before_the_hole_takes_nothing_back() {
    let chunk = chunk(&[(0, 5), (7, 9)], 0);
    assert_eq!(staged(&chunk, 0, &filled(5, &[], 3)), (vec![5], 5, Some(105), Some((5, 7))));
}

#[test]
fn a_tail_that_was_lost_comes_from_the_log() {
    let chunk = chunk(&[], 8);
    assert_eq!(staged(&chunk, 3, &Filled::default()), (vec![], 3, None, Some((3, 8))));
    assert_eq!(staged(&chunk, 3, &filled(3, &[6], 8)), (vec![6], 8, None, None));
}

#[test]
fn a_cut_keeps_what_is_before_it() {
    let chunk = chunk(&[(0, 2), (2, 5), (5, 9)], 0);
    let nothing = Filled::default();
    let mut batch = Batch::stage(&chunk, &at(0), &nothing);
    batch.cut(Position(5));
    assert_eq!(batch.events.len(), 1);
    assert_eq!(batch.moved[&partition()], Moved { from: Position(0), to: Position(4), next_offset: None });
    batch.cut(Position(1));
    assert!(batch.events.is_empty() && batch.moved.is_empty());
}

proptest! {
    /// Whatever is lost, repeated or cut, each event of the partition is staged once and in order.
    #[test]
    fn any_delivery_folds_the_partition(
        gaps in prop::collection::vec(1i64..5, 1..60),
        lost in prop::collection::vec(any::<bool>(), 60),
        cuts in prop::collection::vec((0usize..60, 1usize..20), 0..30),
        scan in 1i64..12,
    ) {
        let positions: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
        let head = positions[positions.len() - 1];
        let before = |index: usize| if index == 0 { 0 } else { positions[index - 1] };
        let topic: Vec<(i64, i64)> = (0..positions.len())
            .filter(|index| !lost[*index])
            .map(|index| (before(index), positions[index]))
            .collect();
        let mut chunks: Vec<Chunk> = cuts
            .iter()
            .map(|(from, count)| chunk(&topic.iter().copied().skip(*from).take(*count).collect::<Vec<_>>(), 0))
            .collect();
        chunks.push(chunk(&topic, 0));
        chunks.push(chunk(&[], head));
        let (mut checkpoint, mut folded) = (0, Vec::new());
        for chunk in &chunks {
            let mut next = Filled::default();
            loop {
                let (events, to, _, hole) = staged(chunk, checkpoint, &next);
                prop_assert!(to >= checkpoint);
                folded.extend(events);
                checkpoint = to;
                let Some((from, to)) = hole else { break };
                prop_assert_eq!(from, checkpoint);
                let scanned_to = to.min(from + scan);
                let events: Vec<i64> =
                    positions.iter().copied().filter(|at| *at > from && *at <= scanned_to).collect();
                next = filled(from, &events, scanned_to);
            }
        }
        prop_assert_eq!(folded, positions);
    }
}
