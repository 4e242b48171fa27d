//! Writes the relay's state in the log's database (`LogReader::relayed` reads it). It may lag behind Kafka and never leads
//! it: it is written after Kafka has acknowledged, without waiting for the disk.

use std::sync::Arc;

use deadpool_postgres::Pool;

use super::lease::Holder;
use crate::{log::Position, postgres};

const ADVANCE: &str = include_str!("advance.sql");
const RENEW_TOPIC: &str = include_str!("renew_topic.sql");

/// Records what Kafka acknowledged; false when the lease belongs to another holder.
pub(super) async fn advance(
    pool: &Pool,
    holder: &Holder,
    cursor: Position,
    last_sent: &[(Arc<str>, i32, Position)],
) -> Result<bool, postgres::Error> {
    let stream_types: Vec<&str> = last_sent.iter().map(|sent| &*sent.0).collect();
    let partitions: Vec<i32> = last_sent.iter().map(|sent| sent.1).collect();
    let positions: Vec<i64> = last_sent.iter().map(|sent| sent.2.0).collect();
    let client = pool.get().await?;
    let statement = client.prepare_cached(ADVANCE).await?;
    let row = client
        .query_one(
            &statement,
            &[&holder.name, &holder.epoch, &cursor.0, &stream_types, &partitions, &positions],
        )
        .await?;
    Ok(row.get(0))
}

/// Makes offsets that were remembered of a stream type's topic worthless.
pub(super) async fn renew_topic(
    pool: &Pool,
    holder: &Holder,
    stream_type: &str,
) -> Result<(), postgres::Error> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(RENEW_TOPIC).await?;
    client.query_one(&statement, &[&holder.name, &holder.epoch, &stream_type]).await?;
    Ok(())
}
