//! The session of a fold, until its transaction ends: rights, time-outs, locks, whose tables, how statements are planned.

use deadpool_postgres::Transaction;
use futures_util::future::try_join3;
use tokio_postgres::types::ToSql;

use super::{Error, STATE};
use crate::{
    config,
    projector::{checkpoint, folder::Rows, generation::Generation, sql::Identifier},
};

const SETTINGS: &str = include_str!("settings.sql");
const SEARCH_PATH: &str = include_str!("search_path.sql");
pub(super) const PLAN: &str = include_str!("plan.sql");
const LAZY_COMMIT: &str = include_str!("lazy_commit.sql");
const LOCK_ROWS: &str = include_str!("lock_rows.sql");

/// How a statement over events is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Once per session, for a few events: planning would take longer than running. Never by reading a whole table: a
    /// plan made while the table was empty would go on doing so when it is large.
    Kept,
    /// For the very number of events and size of the tables.
    Own,
}

impl Plan {
    /// The parameters of [`PLAN`].
    pub(super) fn parameters(self) -> [&'static (dyn ToSql + Sync); 2] {
        match self {
            Self::Kept => [&"force_generic_plan", &"off"],
            Self::Own => [&"force_custom_plan", &"on"],
        }
    }
}

/// Turns to a generation's tables.
pub(in crate::projector) async fn enter(
    transaction: &Transaction<'_>,
    generation: &Generation,
) -> Result<(), Error> {
    let path = format!("{}, pg_temp", Identifier::new(&generation.schema));
    let lock = transaction.prepare_cached(LOCK_ROWS).await?;
    let search_path = transaction.prepare_cached(SEARCH_PATH).await?;
    let planning = transaction.prepare_cached(PLAN).await?;
    let locking = async {
        match generation.folder.rows {
            Rows::Shared => transaction.execute(&lock, &[&generation.schema]).await,
            Rows::Own => Ok(0),
        }
    };
    let (path, kept): ([&(dyn ToSql + Sync); 1], _) = ([&path], Plan::Kept.parameters());
    try_join3(locking, transaction.execute(&search_path, &path), transaction.execute(&planning, &kept))
        .await?;
    Ok(())
}

/// Prepares what every fold sends, so that from then on all of it is sent in the order in which it is asked for.
pub(super) async fn prepare(transaction: &Transaction<'_>) -> Result<(), Error> {
    for sql in [SETTINGS, LAZY_COMMIT, STATE, LOCK_ROWS, SEARCH_PATH, PLAN] {
        transaction.prepare_cached(sql).await?;
    }
    checkpoint::prepare(transaction).await
}

/// Makes the session fit to fold a projection, until the transaction ends; to be called before anything is locked.
pub(in crate::projector) async fn begin(
    transaction: &Transaction<'_>,
    projection: &str,
    limits: &config::Projector,
) -> Result<(), Error> {
    let silence = format!("{}ms", limits.session_timeout.as_millis());
    let settings = transaction.prepare_cached(SETTINGS).await?;
    transaction.execute(&settings, &[&silence, &projection]).await?;
    Ok(())
}

/// Has the commit not wait for the disk: for what is folded again when it is lost, never for what a person is told of.
pub(super) async fn commit_lazily(transaction: &Transaction<'_>) -> Result<(), Error> {
    let lazy = transaction.prepare_cached(LAZY_COMMIT).await?;
    transaction.execute(&lazy, &[]).await?;
    Ok(())
}
