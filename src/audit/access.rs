//! Who looked at the audit, and at what.

use uuid::Uuid;

use super::{Audit, Error};
use crate::page::Page;

const NOTE: &str = include_str!("note_access.sql");
const LIST: &str = include_str!("accesses.sql");

/// One look.
#[derive(Debug, Clone)]
pub struct Access {
    pub principal: String,
    pub method: String,
    /// Path and query.
    pub target: String,
    pub correlation_id: String,
}

impl Audit {
    /// Notes a look; what cannot be noted is not answered.
    pub async fn note(&self, access: &Access) -> Result<(), Error> {
        let Access { principal, method, target, correlation_id } = access;
        let client = self.writer.get().await?;
        let statement = client.prepare_cached(NOTE).await?;
        client.execute(&statement, &[&Uuid::now_v7(), principal, method, target, correlation_id]).await?;
        Ok(())
    }

    /// Looks, newest first.
    pub async fn accesses(
        &self,
        actor: Option<&str>,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<Uuid>, Error> {
        let before = before.unwrap_or(Uuid::max());
        let rows = self.rows(LIST, &[&before, &actor, &(limit as i64 + 1)]).await?;
        let next = (rows.len() > limit).then(|| rows[limit - 1].get(0));
        Ok(Page { items: rows.iter().take(limit).map(|row| row.get(1)).collect(), next })
    }
}
