//! The relay's state in the log's database. It may lag behind Kafka and never leads it: it is written after Kafka has
//! acknowledged, without waiting for the disk.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;

use super::lease::Holder;
use crate::{
    log::{Partition, Position, Relayed},
    postgres,
};

const READ: &str = include_str!("outbox.sql");
const REVOKE_LEASE: &str = include_str!("lease_revoke.sql");
const ADVANCE: &str = include_str!("advance.sql");
const RENEW_TOPIC: &str = include_str!("renew_topic.sql");

/// How far the relay has come, whichever process it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Outbox {
    /// Every event up to here is in Kafka.
    pub cursor: Position,
    /// The log's last position.
    pub head: Position,
    /// `None`: nobody relays.
    pub lease: Option<HeldLease>,
    /// In the order of types and partitions.
    pub partitions: Vec<SentPartition>,
}

/// Who relays.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct HeldLease {
    pub holder: String,
    /// Grows by one with each new holder.
    pub epoch: i64,
    /// Unless it is renewed.
    pub expires_at: DateTime<Utc>,
}

/// A partition that was sent to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SentPartition {
    pub stream_type: String,
    pub partition: i32,
    /// Position of its last record.
    pub last_sent: Position,
}

impl Outbox {
    /// Reads it, through any role.
    pub async fn read(pool: &Pool) -> Result<Self, postgres::Error> {
        let client = pool.get().await?;
        let statement = client.prepare_cached(READ).await?;
        let rows = client.query(&statement, &[]).await?;
        let state = rows.first().expect("the outbox has one row, joined to none or more");
        let lease = || HeldLease { holder: state.get(2), epoch: state.get(3), expires_at: state.get(4) };
        Ok(Self {
            cursor: Position(state.get(0)),
            head: Position(state.get(1)),
            lease: state.get::<_, bool>(5).then(lease),
            partitions: rows
                .iter()
                .filter_map(|row| {
                    Some(SentPartition {
                        stream_type: row.get::<_, Option<String>>(6)?,
                        partition: row.get(7),
                        last_sent: Position(row.get(8)),
                    })
                })
                .collect(),
        })
    }

    /// Events that are not in Kafka yet.
    pub fn lag(&self) -> i64 {
        (self.head.0 - self.cursor.0).max(0)
    }
}

/// Makes the relay begin anew, in whichever process it is.
pub(super) async fn revoke_lease(pool: &Pool) -> Result<(), postgres::Error> {
    pool.get().await?.query_one(REVOKE_LEASE, &[]).await?;
    Ok(())
}

/// Records what Kafka acknowledged, on top of what this holder recorded last; false when the lease belongs to another
/// one, or when the database has lost what was recorded.
pub(super) async fn advance(
    pool: &Pool,
    holder: &Holder,
    recorded: Position,
    relayed: &Relayed,
) -> Result<bool, postgres::Error> {
    let partitions = relayed.last_sent.keys();
    let (stream_types, partitions): (Vec<&str>, Vec<i32>) =
        partitions.map(|Partition { stream_type, number }| (stream_type.as_str(), number)).unzip();
    let positions: Vec<i64> = relayed.last_sent.values().map(|position| position.0).collect();
    let client = pool.get().await?;
    let statement = client.prepare_cached(ADVANCE).await?;
    let row = client
        .query_one(
            &statement,
            &[
                &holder.name,
                &holder.epoch,
                &recorded.0,
                &relayed.cursor.0,
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
    client.query_one(&statement, &[&holder.name, &holder.epoch, &stream_type]).await?;
    Ok(())
}
