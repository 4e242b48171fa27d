//! The relay's state in the log's database. It may lag behind Kafka and never leads it: it is written after Kafka has
//! acknowledged, without waiting for the disk.

use std::{collections::HashMap, sync::Arc};

use deadpool_postgres::Pool;

use super::lease::Holder;
use crate::{log::Position, postgres};

const OUTBOX: &str = include_str!("outbox.sql");
const LAST_SENT: &str = include_str!("last_sent.sql");
const ADVANCE: &str = include_str!("advance.sql");
const RENEW_TOPIC: &str = include_str!("renew_topic.sql");

/// What is known to be in Kafka.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbox {
    /// Every event up to here, over all topics.
    pub cursor: Position,
    /// Who holds the lease now.
    pub holder: Option<String>,
    /// How many holders there have been.
    pub epoch: i64,
    /// The last position sent, by stream type and partition; none for a partition that was never sent to.
    pub last_sent: HashMap<(String, i32), Position>,
}

impl Outbox {
    pub async fn read(pool: &Pool) -> Result<Self, postgres::Error> {
        let client = pool.get().await?;
        let outbox = client.prepare_cached(OUTBOX).await?;
        let last_sent = client.prepare_cached(LAST_SENT).await?;
        let row = client.query_one(&outbox, &[]).await?;
        let rows = client.query(&last_sent, &[]).await?;
        let last_sent = rows
            .iter()
            .map(|row| ((row.get(0), row.get(1)), Position(row.get(2))))
            .collect();
        Ok(Self {
            cursor: Position(row.get(0)),
            holder: row.get(1),
            epoch: row.get(2),
            last_sent,
        })
    }
}

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
            &[
                &holder.name,
                &holder.epoch,
                &cursor.0,
                &stream_types,
                &partitions,
                &positions,
            ],
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
    client
        .query_one(&statement, &[&holder.name, &holder.epoch, &stream_type])
        .await?;
    Ok(())
}
