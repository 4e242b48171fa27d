//! The checkpoints' rows: made, locked, moved.
//!
//! A worker folds only what follows a checkpoint whose row it holds, and moves it in the same transaction. So a worker
//! that was stopped, cut off or doubled finds its events folded already, and folds nothing twice.

use std::collections::BTreeMap;

use deadpool_postgres::{GenericClient, Pool, Transaction};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    batch::{Checkpoints, Moved, Scope},
    fold::Error,
};
use crate::{
    log::{Partition, Position, StreamTypes},
    postgres,
};

const ENSURE: &str = include_str!("checkpoint/ensure.sql");
const READ: &str = include_str!("checkpoint/read.sql");
const CHOOSE: &str = include_str!("checkpoint/choose.sql");
const LOCK: &str = include_str!("checkpoint/lock.sql");
const MOVE: &str = include_str!("checkpoint/move.sql");

/// Makes the rows of partitions that have none, at position 0.
pub(super) async fn ensure(
    pool: &Pool,
    projection: &str,
    generation: i32,
    log_id: Uuid,
    stream_types: &StreamTypes,
) -> Result<(), postgres::Error> {
    let client = pool.get().await?;
    let names: Vec<&String> = stream_types.keys().collect();
    let counts: Vec<i32> = stream_types.values().map(|stream_type| stream_type.partitions).collect();
    let statement = client.prepare_cached(ENSURE).await?;
    client.execute(&statement, &[&projection, &generation, &log_id, &names, &counts]).await?;
    Ok(())
}

/// A checkpoint as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) partition: Partition,
    pub(crate) position: Position,
    pub(crate) next_offset: Option<i64>,
    pub(crate) topic_id: Option<Uuid>,
    pub(crate) log_id: Uuid,
}

/// The checkpoints of a generation; `None`: of the one that serves.
pub(crate) async fn read(
    pool: &Pool,
    projection: &str,
    generation: Option<i32>,
) -> Result<Vec<Stored>, postgres::Error> {
    read_by(&pool.get().await?, projection, generation).await
}

/// The same on a session or in a transaction.
pub(super) async fn read_by(
    client: &impl GenericClient,
    projection: &str,
    generation: Option<i32>,
) -> Result<Vec<Stored>, postgres::Error> {
    let statement = client.prepare_cached(READ).await?;
    let rows = client.query(&statement, &[&projection, &generation]).await?;
    let stored = |row: &tokio_postgres::Row| Stored {
        partition: Partition { stream_type: row.get(0), number: row.get(1) },
        position: Position(row.get(2)),
        next_offset: row.get(3),
        topic_id: row.get(4),
        log_id: row.get(5),
    };
    Ok(rows.iter().map(stored).collect())
}

/// Prepares what every fold sends of these.
pub(super) async fn prepare(transaction: &Transaction<'_>) -> Result<(), Error> {
    for sql in [CHOOSE, LOCK, MOVE] {
        transaction.prepare_cached(sql).await?;
    }
    Ok(())
}

/// Which of these partitions this transaction takes, where it does not have to have all of them.
pub(super) async fn choose<'a>(
    transaction: &Transaction<'_>,
    projection: &str,
    generation: i32,
    scope: Scope,
    partitions: impl Iterator<Item = &'a Partition>,
) -> Result<Vec<Partition>, Error> {
    let wanted: Vec<&Partition> = partitions.collect();
    let limit = match scope {
        Scope::Free(limit) => limit,
        Scope::Named | Scope::Whole => wanted.len() as i64,
    };
    let (stream_types, numbers) = columns(wanted.iter().copied());
    let statement = transaction.prepare_cached(CHOOSE).await?;
    let rows =
        transaction.query(&statement, &[&projection, &generation, &stream_types, &numbers, &limit]).await?;
    if scope == Scope::Whole && rows.len() < wanted.len() {
        return Ok(Vec::new());
    }
    Ok(rows.iter().map(|row| Partition { stream_type: row.get(0), number: row.get(1) }).collect())
}

/// Whose checkpoints are locked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    /// Every generation's that follows.
    Followers,
    /// That of one that does not follow.
    Candidate(i32),
    /// Of both.
    FollowersAnd(i32),
}

/// Locks the rows of these partitions; returns where each generation stands. A generation that began to follow while this
/// waited for its locks is not among them.
pub(super) async fn lock(
    transaction: &Transaction<'_>,
    projection: &str,
    partitions: &[Partition],
    whose: Whose,
) -> Result<BTreeMap<i32, Checkpoints>, Error> {
    let (stream_types, numbers) = columns(partitions.iter());
    let statement = transaction.prepare_cached(LOCK).await?;
    let (followers, candidate) = match whose {
        Whose::Followers => (true, None),
        Whose::Candidate(number) => (false, Some(number)),
        Whose::FollowersAnd(number) => (true, Some(number)),
    };
    let parameters: [&(dyn ToSql + Sync); 5] = [&projection, &stream_types, &numbers, &followers, &candidate];
    let rows = transaction.query(&statement, &parameters).await?;
    let mut generations: BTreeMap<i32, Checkpoints> = BTreeMap::new();
    for row in &rows {
        let partition = Partition { stream_type: row.get(1), number: row.get(2) };
        generations.entry(row.get(0)).or_default().insert(partition, Position(row.get(3)));
    }
    Ok(generations)
}

/// Locks them twice: what was committed while the first try waited, such as a generation that follows now or the rows of a
/// new stream type, is locked by the second. For those who do not look at the state afterwards as a fold does.
pub(super) async fn lock_settled(
    transaction: &Transaction<'_>,
    projection: &str,
    partitions: &[Partition],
    whose: Whose,
) -> Result<(), Error> {
    for _ in 0..2 {
        lock(transaction, projection, partitions, whose).await?;
    }
    Ok(())
}

/// How many events of a partition were passed, by what became of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Passed {
    pub(super) applied: i64,
    pub(super) ignored: i64,
    pub(super) parked: i64,
}

/// Moves a generation's checkpoints, each only from where it is known to be.
pub(super) async fn advance(
    transaction: &Transaction<'_>,
    projection: &str,
    generation: i32,
    moved: &BTreeMap<&Partition, Moved>,
    passed: &BTreeMap<&Partition, Passed>,
    stream_types: &StreamTypes,
) -> Result<(), Error> {
    let (names, numbers) = columns(moved.keys().copied());
    let column = |of: fn(&Moved) -> i64| -> Vec<i64> { moved.values().map(of).collect() };
    let (from, to) = (column(|moved| moved.from.0), column(|moved| moved.to.0));
    let offsets: Vec<Option<i64>> = moved.values().map(|moved| moved.next_offset).collect();
    let topic_id =
        |partition: &&Partition| stream_types.get(&partition.stream_type).map(|known| known.topic_id);
    let topic_ids: Vec<Option<Uuid>> = moved.keys().map(topic_id).collect();
    let counts: Vec<Passed> =
        moved.keys().map(|partition| passed.get(partition).copied().unwrap_or_default()).collect();
    let applied: Vec<i64> = counts.iter().map(|passed| passed.applied).collect();
    let ignored: Vec<i64> = counts.iter().map(|passed| passed.ignored).collect();
    let parked: Vec<i64> = counts.iter().map(|passed| passed.parked).collect();
    let statement = transaction.prepare_cached(MOVE).await?;
    let rows = transaction
        .execute(
            &statement,
            &[
                &projection,
                &generation,
                &names,
                &numbers,
                &from,
                &to,
                &offsets,
                &topic_ids,
                &applied,
                &ignored,
                &parked,
            ],
        )
        .await?;
    if rows == moved.len() as u64 { Ok(()) } else { Err(Error::Lost) }
}

fn columns<'a>(partitions: impl Iterator<Item = &'a Partition>) -> (Vec<&'a str>, Vec<i32>) {
    partitions.map(|partition| (partition.stream_type.as_str(), partition.number)).unzip()
}
