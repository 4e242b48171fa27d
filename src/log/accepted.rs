//! Commands that are accepted now and done later, and the rows that say what became of commands.
//!
//! The invariant: a command is pending until it is carried out or given up, and the transaction that ends it deletes its
//! request.

use std::time::Duration;

use deadpool_postgres::Pool;
use serde::Deserialize;
use uuid::Uuid;

use super::{CommandRecord, Error, StreamId, check::check_kept};
use crate::{json::RawJson, postgres};

const ACCEPT: &str = include_str!("accept.sql");
const TAKE: &str = include_str!("take_accepted.sql");
const GIVE_BACK: &str = include_str!("give_back_accepted.sql");
const FAIL: &str = include_str!("fail_accepted.sql");
const CLEAN: &str = include_str!("clean_commands.sql");
const READ: &str = include_str!("read_command.sql");

/// The rows of commands, as the writer sees them.
#[derive(Clone)]
pub struct CommandLog {
    pub(super) pool: Pool,
}

/// A command to be done later.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub command_id: Uuid,
    pub command_type: String,
    pub principal: String,
    pub idempotency_key: Option<String>,
    pub fingerprint: Vec<u8>,
    pub correlation_id: String,
    pub stream_id: Uuid,
    /// What `command` needs to carry it out; secrets are sealed.
    pub request: RawJson,
    /// How often it was taken, this time included.
    pub attempts: i32,
}

/// What became of accepting.
#[derive(Debug, Clone)]
pub enum Acceptance {
    Accepted,
    /// The same command came before.
    Duplicate(Box<CommandRecord>),
    /// The principal's key was used before for another request.
    FingerprintMismatch,
}

/// Whether an earlier row has the same fingerprint.
#[derive(Deserialize)]
struct Same {
    same: bool,
}

impl CommandLog {
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// Stores a command to be done later.
    pub async fn accept(&self, accepted: &Accepted, stream: &StreamId) -> Result<Acceptance, Error> {
        check_kept(accepted)?;
        let client = self.pool.get().await.map_err(|error| Error::unsent(error.into()))?;
        let statement = client.prepare_cached(ACCEPT).await.map_err(|error| Error::unsent(error.into()))?;
        let row = client
            .query_one(
                &statement,
                &[
                    &accepted.command_id,
                    &accepted.command_type,
                    &accepted.principal,
                    &accepted.idempotency_key,
                    &accepted.fingerprint,
                    &accepted.correlation_id,
                    &stream.stream_type,
                    &stream.id,
                    &accepted.request,
                ],
            )
            .await
            .map_err(postgres::Error::from)?;
        let Some(earlier) = row.get::<_, Option<RawJson>>(0) else {
            return Ok(Acceptance::Accepted);
        };
        let same: Same =
            earlier.parse().map_err(|error| Error::Database(format!("a command's row: {error}")))?;
        if !same.same {
            return Ok(Acceptance::FingerprintMismatch);
        }
        Ok(Acceptance::Duplicate(Box::new(CommandRecord::read(&earlier)?)))
    }

    /// Takes due commands, hidden from other takers for `hidden`.
    pub async fn take(&self, most: i32, hidden: Duration) -> Result<Vec<Accepted>, postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(TAKE).await?;
        let rows = client.query(&statement, &[&most, &hidden.as_secs_f64()]).await?;
        Ok(rows
            .iter()
            .map(|row| Accepted {
                command_id: row.get(0),
                command_type: row.get(1),
                principal: row.get(2),
                idempotency_key: row.get(3),
                fingerprint: row.get(4),
                correlation_id: row.get(5),
                stream_id: row.get(6),
                request: row.get(7),
                attempts: row.get(8),
            })
            .collect())
    }

    /// Gives an accepted command up.
    pub async fn fail(&self, command_id: Uuid, answer: &RawJson) -> Result<(), postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(FAIL).await?;
        client.execute(&statement, &[&command_id, answer]).await?;
        Ok(())
    }

    /// Has the last taking of an accepted command not count as an attempt.
    pub async fn give_back(&self, command_id: Uuid) -> Result<(), postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(GIVE_BACK).await?;
        client.execute(&statement, &[&command_id]).await?;
        Ok(())
    }

    /// Deletes up to `most` answered commands older than `keep`; returns how many.
    pub async fn clean(&self, keep: Duration, most: i32) -> Result<i32, postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(CLEAN).await?;
        Ok(client.query_one(&statement, &[&keep.as_secs_f64(), &most]).await?.get(0))
    }

    /// The row of a command, which [`CommandRecord::read`] reads.
    pub async fn find(&self, command_id: Uuid) -> Result<Option<RawJson>, postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(READ).await?;
        Ok(client.query_opt(&statement, &[&command_id]).await?.map(|row| row.get(0)))
    }
}
