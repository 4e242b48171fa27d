//! Projections as admins see them: how each stands, and whether its workers may go on.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{json::RawJson, postgres};

const LIST: &str = include_str!("overview/list.sql");
const PAUSE: &str = include_str!("overview/pause.sql");

/// A projection as the database knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    pub projection: String,
    /// Of the folder that the serving generation was made from.
    pub version: i32,
    /// The one that serves.
    pub generation: i32,
    pub state: Going,
    /// The event, the error and the statement, where it stopped.
    pub stopped: Option<serde_json::Value>,
    /// Its furthest checkpoint.
    pub position: i64,
    pub applied: i64,
    pub ignored: i64,
    pub parked: i64,
    pub generations: Vec<GenerationOverview>,
    /// The last one.
    pub rebuild: Option<RebuildOverview>,
}

/// Whether the workers of a projection may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Going {
    Running,
    Paused,
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationOverview {
    pub generation: i32,
    pub version: i32,
    /// Whether the workers feed it.
    pub follows: bool,
    pub created_at: DateTime<Utc>,
    /// When it stopped serving.
    pub retired_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RebuildOverview {
    pub id: Uuid,
    pub state: String,
}

/// Every projection, or the one of this name.
pub async fn overview(read: &Pool, projection: Option<&str>) -> Result<Vec<Overview>, postgres::Error> {
    let rows = read.get().await?.query(LIST, &[&projection]).await?;
    let parsed = |row: &tokio_postgres::Row| {
        let json: RawJson = row.get(0);
        json.parse().expect("the statement builds what this type holds")
    };
    Ok(rows.iter().map(parsed).collect())
}

/// Lets the workers of a projection stand still or go on, also where they had stopped; false where there is none.
pub async fn set_paused(read: &Pool, projection: &str, paused: bool) -> Result<bool, postgres::Error> {
    Ok(read.get().await?.execute(PAUSE, &[&projection, &paused]).await? > 0)
}
