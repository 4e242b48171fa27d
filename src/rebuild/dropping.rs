//! Drops a projection: all its generations and all that is known of it, in one transaction while nobody folds or rebuilds it.

use std::time::Duration;

use deadpool_postgres::{Pool, Transaction};
use tokio::time::sleep;
use tokio_postgres::error::SqlState;

use super::{Error, run::drop_schema};
use crate::{postgres, projector::generation};

const MADE_AT: &str = include_str!("made_at.sql");
const LOCK_MADE: &str = include_str!("lock_made.sql");
const IS_UNFINISHED: &str = include_str!("is_unfinished.sql");
const FORGET_PROJECTION: &str = include_str!("forget_projection.sql");

/// Tries while somebody reads it, and the wait between them.
const TRIES_MAX: usize = 50;
const WAIT: Duration = Duration::from_millis(50);

/// When a projection was made.
pub async fn made_at(read: &Pool, projection: &str) -> Result<String, Error> {
    let unknown = || Error::UnknownProjection(projection.to_owned());
    // None has such a name, and Postgres takes no such text.
    if projection.contains('\0') {
        return Err(unknown());
    }
    let client = read.get().await.map_err(postgres::Error::from)?;
    Ok(client.query_opt(MADE_AT, &[&projection]).await?.ok_or_else(unknown)?.get(0))
}

/// Drops a projection that was made then; nothing where it is gone, or was made anew since.
pub async fn drop_projection(read: &Pool, projection: &str, made_at: &str) -> Result<(), Error> {
    let mut tries = 1;
    loop {
        match try_drop(read, projection, made_at).await {
            Err(Error::Database(postgres::Error::Statement(error)))
                if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) && tries < TRIES_MAX =>
            {
                tries += 1;
                sleep(WAIT).await;
            }
            outcome => return outcome,
        }
    }
}

async fn try_drop(read: &Pool, projection: &str, made_at: &str) -> Result<(), Error> {
    let mut client = read.get().await.map_err(postgres::Error::from)?;
    let transaction = client.transaction().await?;
    generation::hold(&transaction, projection).await?;
    if transaction.query_opt(LOCK_MADE, &[&projection, &made_at]).await?.is_none() {
        return Ok(());
    }
    if is_unfinished(&transaction, projection).await? {
        return Err(Error::BeingRebuilt(projection.to_owned()));
    }
    for row in transaction.query(FORGET_PROJECTION, &[&projection]).await? {
        drop_schema(&transaction, projection, row.get(0)).await?;
    }
    Ok(transaction.commit().await?)
}

/// Whether a rebuild of it has not ended.
async fn is_unfinished(
    transaction: &Transaction<'_>,
    projection: &str,
) -> Result<bool, tokio_postgres::Error> {
    Ok(transaction.query_one(IS_UNFINISHED, &[&projection]).await?.get(0))
}
