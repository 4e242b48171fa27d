//! States of long aggregates, kept so that loading need not fold the whole history.
//!
//! The invariant: a snapshot stands for events that are in the log, or it is not used. What follows it is read from the log,
//! and `log.append` checks the stream's version for what is decided on it.

use uuid::Uuid;

use super::{CommandLog, StreamId, Version};
use crate::{json::RawJson, postgres};

const KEEP: &str = include_str!("keep_snapshot.sql");
const READ: &str = include_str!("read_snapshot.sql");

impl CommandLog {
    /// Keeps a stream's state at a version; `revision` is of the aggregate's code.
    pub async fn keep_snapshot(
        &self,
        stream: &StreamId,
        version: Version,
        revision: u32,
        state: &RawJson,
    ) -> Result<(), postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(KEEP).await?;
        let StreamId { stream_type, id } = stream;
        client.execute(&statement, &[stream_type, id, &version.0, &(revision as i32), state]).await?;
        Ok(())
    }

    /// The state kept last with the event that led to it, if this revision of the code wrote it.
    pub async fn snapshot(
        &self,
        stream: &StreamId,
        revision: u32,
    ) -> Result<Option<(Version, Uuid, RawJson)>, postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(READ).await?;
        let row =
            client.query_opt(&statement, &[&stream.stream_type, &stream.id, &(revision as i32)]).await?;
        Ok(row.map(|row| (Version(row.get(0)), row.get(1), row.get(2))))
    }
}
