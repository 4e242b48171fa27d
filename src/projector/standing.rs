//! How projections stand, for those who watch all of them: what is behind, what stands still, what waits for a person.
//!
//! Computed from the databases alone, so it is also known of a projection that nobody works for.

use std::collections::BTreeMap;

use deadpool_postgres::Pool;

use super::lag::{Lag, lags};
use crate::{log::LogReader, postgres};

const LIST: &str = include_str!("standing/list.sql");

/// How a projection stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub lag: Lag,
    /// One of [`Standing::STATES`].
    pub state: &'static str,
    /// Events that the serving generation has parked.
    pub parked: i64,
    /// The state of the newest rebuild.
    pub rebuild: Option<String>,
}

impl Standing {
    /// `building`: events from before the serving generation was made are not folded yet, so it is not behind but new.
    pub const STATES: [&str; 4] = ["running", "paused", "stopped", "building"];
}

/// How each projection stands, by name. `read` is of the read models' database.
pub async fn standings(log: &LogReader, read: &Pool) -> Result<BTreeMap<String, Standing>, postgres::Error> {
    let mut lags = lags(log, read).await?;
    let mut standings = BTreeMap::new();
    for row in read.get().await?.query(LIST, &[]).await? {
        let projection: String = row.get(0);
        // One that came meanwhile is told the next time.
        let Some(lag) = lags.remove(&projection) else {
            continue;
        };
        let (is_stopped, is_paused, age_seconds): (bool, bool, f64) = (row.get(1), row.get(2), row.get(3));
        let state = match () {
            () if is_stopped => "stopped",
            () if is_paused => "paused",
            () if lag.seconds > age_seconds => "building",
            () => "running",
        };
        standings.insert(projection, Standing { lag, state, parked: row.get(4), rebuild: row.get(5) });
    }
    Ok(standings)
}
