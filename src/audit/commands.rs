//! Commands and what became of them, the rejected ones too, as long as their rows are kept.

use uuid::Uuid;

use super::{Audit, Error};
use crate::{json::RawJson, log::Status, page::Page};

const ONE: &str = include_str!("command.sql");
const LIST: &str = include_str!("commands.sql");

/// Rows one page may look at. Where few fit, a page is short and says where to go on.
const SEEN_MAX: i64 = 10_000;

impl Audit {
    /// What became of a command.
    pub async fn command(&self, command_id: Uuid) -> Result<Option<RawJson>, Error> {
        Ok(self.rows(ONE, &[&command_id]).await?.first().map(|row| row.get(0)))
    }

    /// Commands, newest first: of an actor, with an outcome.
    pub async fn commands(
        &self,
        actor: Option<&str>,
        outcome: Option<Status>,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<Uuid>, Error> {
        let before = before.unwrap_or(Uuid::max());
        let outcome = outcome.map(Status::as_str);
        let most = limit as i64 + 1;
        let rows = self.rows(LIST, &[&before, &outcome, &actor, &most, &SEEN_MAX]).await?;
        // Each row tells the last one looked at and how many were; the first may tell nothing else.
        let Some(seen) = rows.first() else {
            return Ok(Page { items: vec![], next: None });
        };
        let (last_seen, count): (Option<Uuid>, i64) = (seen.get(0), seen.get(1));
        let shown: Vec<(Uuid, RawJson)> = rows
            .iter()
            .filter_map(|row| Some((row.get::<_, Option<Uuid>>(2)?, row.get(3))))
            .take(limit)
            .collect();
        let next = match shown.last() {
            Some((last_shown, _)) if rows.len() > limit => Some(*last_shown),
            _ => last_seen.filter(|_| count == SEEN_MAX),
        };
        Ok(Page { items: shown.into_iter().map(|(_, row)| row).collect(), next })
    }
}
