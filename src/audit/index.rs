//! Fills the auditors' index behind the log, in every process that answers auditors. The database lets one do it at a
//! time; the others are told how far it reaches.

use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{config, log::Position, postgres, trouble::Trouble};

const INDEX: &str = include_str!("index_events.sql");
/// Shortest time between two steps that reach the log's end: many small ones would cost twice as much as a few larger ones.
const PAUSE: Duration = Duration::from_millis(50);

/// What filling stands on.
pub struct Deps {
    /// Of the writer.
    pub pool: Pool,
    pub head: watch::Receiver<Position>,
    /// Told how far the index reaches.
    pub indexed: watch::Sender<Position>,
}

/// Follows the log until `shutdown`.
pub async fn run(deps: Deps, config: config::Audit, shutdown: CancellationToken) {
    shutdown.run_until_cancelled(follow(deps, &config)).await;
}

async fn follow(deps: Deps, config: &config::Audit) {
    let Deps { pool, mut head, indexed } = deps;
    let mut trouble = Trouble::new("the auditors' index cannot be filled; trying again");
    loop {
        let before = *indexed.borrow();
        match trouble.note(step(&pool, config.index_batch_events_max).await) {
            Some(reached) => drop(indexed.send_replace(reached)),
            None => sleep(config.index_poll_interval).await,
        }
        // What was told of the head says nothing of a log that nobody has appended to yet; a full step does.
        let is_behind = indexed.borrow().0 - before.0 >= i64::from(config.index_batch_events_max);
        if !is_behind {
            // Also where another process is at it. Nobody may be left who tells of the head; then the time is waited out.
            let moved = async {
                if head.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let _ = timeout(config.index_poll_interval, moved).await;
            sleep(PAUSE).await;
        }
    }
}

async fn step(pool: &Pool, most: i32) -> Result<Position, postgres::Error> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(INDEX).await?;
    Ok(Position(client.query_one(&statement, &[&most]).await?.get(0)))
}
