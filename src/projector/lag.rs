//! How far each projection is behind the log, in events and in time, whatever process works for it.
//!
//! Computed from the checkpoints and the log alone, so it is also known of a projection that nobody works for. Never too low;
//! it may be too high by events that are folded already in other partitions.

use std::collections::BTreeMap;

use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};

use super::batch::Checkpoints;
use crate::{
    kafka,
    log::{LogReader, Partition, Position, Recorded, Relayed, StreamTypes},
    postgres,
};

const LIVE: &str = include_str!("lag/live.sql");

/// Events that are looked through for the oldest that is not folded, and counted. What lies beyond them counts as if it
/// were all for the projection.
const EVENTS_MAX: usize = 10_000;
/// Events of the log that are looked through for those.
const AMONG: i64 = 100_000;

/// How far a projection is behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// Events of the projection's stream types, from the oldest that is not folded on.
    pub events: i64,
    /// Age of that event; 0 where all are folded.
    pub seconds: f64,
}

/// The lag of the generation of each projection that serves, by the projection's name. `read` is of the read models'
/// database.
pub async fn lags(log: &LogReader, read: &Pool) -> Result<BTreeMap<String, Lag>, postgres::Error> {
    // What is known of the relay is seen before the checkpoints are, and those before the log's end.
    let relayed = log.relayed().await?;
    let mut live: BTreeMap<String, Checkpoints> = BTreeMap::new();
    for row in read.get().await?.query(LIVE, &[]).await? {
        let checkpoints = live.entry(row.get(0)).or_default();
        if let Some(stream_type) = row.get(1) {
            let partition = Partition { stream_type, number: row.get(2) };
            checkpoints.insert(partition, Position(row.get(3)));
        }
    }
    let (stream_types, head) = (log.stream_types().await?, log.head().await?);
    let mut lags = BTreeMap::new();
    for (projection, checkpoints) in live {
        let passed = passed(checkpoints, &relayed);
        lags.insert(projection, lag(log, &stream_types, &passed, head).await?);
    }
    Ok(lags)
}

/// Up to where each partition is folded: a partition to which nothing newer was sent, as far as the relay has come.
fn passed(mut checkpoints: Checkpoints, relayed: &Relayed) -> Checkpoints {
    for (partition, position) in &mut checkpoints {
        *position = relayed.complete_to(partition, *position);
    }
    checkpoints
}

async fn lag(
    log: &LogReader,
    stream_types: &StreamTypes,
    passed: &Checkpoints,
    head: Position,
) -> Result<Lag, postgres::Error> {
    let Some(from) = passed.values().min().copied().filter(|from| *from < head) else {
        return Ok(Lag::default());
    };
    let mut own: Vec<String> = passed.keys().map(|partition| partition.stream_type.clone()).collect();
    own.dedup();
    let logged = log.recorded(from, &own, EVENTS_MAX, AMONG).await?;
    let is_passed = |event: &Recorded| {
        let partitions = stream_types.get(&event.stream_type).map_or(1, |known| known.partitions);
        let number = kafka::partition(event.stream_id, partitions);
        let partition = Partition { stream_type: event.stream_type.clone(), number };
        passed.get(&partition).is_some_and(|passed| *passed >= event.position)
    };
    let beyond = match logged.last() {
        Some(last) if logged.len() == EVENTS_MAX || last.position.0 == from.0 + AMONG => {
            (head.0 - last.position.0).max(0)
        }
        _ => 0,
    };
    let oldest = logged.iter().position(|event| !is_passed(event));
    let oldest = oldest.or(logged.len().checked_sub(1).filter(|_| beyond > 0));
    Ok(oldest.map_or(Lag::default(), |oldest| Lag {
        events: (logged.len() - oldest) as i64 + beyond,
        seconds: logged[oldest].age_seconds,
    }))
}
