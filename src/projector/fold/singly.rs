//! The way to find the event that makes a batch fail: one at a time, each under a savepoint.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;

use super::{Error, Fold, Poison, together::Columns};
use crate::{
    json::RawJson,
    log::Event,
    postgres::{self, Failure},
    projector::{
        batch::{Batch, Partition},
        checkpoint::{self, Passed},
        generation::Generation,
    },
};

const STOP: &str = include_str!("stop.sql");

impl Fold<'_> {
    /// Runs a batch in the order of positions up to the first event that the database refuses, and cuts it there. Where
    /// there is one, the projection is stopped in the same transaction, unless this only loads a generation.
    pub(super) async fn singly<'b>(
        &self,
        transaction: &mut Transaction<'_>,
        batch: &mut Batch<'b>,
    ) -> Result<(BTreeMap<&'b Partition, Passed>, Option<Poison>), Error> {
        let generation = &self.generations[0];
        let Generation { number, folder, .. } = generation;
        self.enter(transaction, generation).await?;
        let mut first: Option<Poison> = None;
        for (_, event) in &self.readable(generation, batch)?.0 {
            if let Err(poison) = self.run_one(transaction, generation, event).await? {
                first = Some(poison);
                break;
            }
        }
        if let Some(poison) = &first {
            batch.cut(poison.position);
            if !self.loading {
                transaction.execute(STOP, &[&folder.name, &RawJson::of(poison)]).await?;
            }
        }
        let (_, passed) = self.readable(generation, batch)?;
        checkpoint::advance(transaction, &folder.name, *number, &batch.moved, &passed, self.stream_types)
            .await?;
        Ok((passed, first))
    }

    async fn run_one(
        &self,
        transaction: &mut Transaction<'_>,
        generation: &Generation,
        event: &Event,
    ) -> Result<Result<(), Poison>, Error> {
        let savepoint = transaction.transaction().await?;
        let columns = Columns::new(&[event], event.schema_version);
        let sql = &generation.statements[&event.event_type];
        let outcome = match savepoint.prepare_cached(sql).await {
            Ok(statement) => columns.execute(&savepoint, &statement).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(_) => {
                savepoint.commit().await?;
                Ok(Ok(()))
            }
            Err(error) if postgres::classify(&error) == Failure::Transient => Err(error.into()),
            Err(error) => {
                savepoint.rollback().await?;
                Ok(Err(Poison::new(event, &error)))
            }
        }
    }

    /// Stops the projection because of something that is not one event's fault.
    pub(in crate::projector) async fn stop(&self, poison: &Poison) -> Result<(), postgres::Error> {
        let client = self.deps.read.get().await?;
        let name = &self.generations[0].folder.name;
        client.execute(STOP, &[name, &RawJson::of(poison)]).await?;
        Ok(())
    }
}
