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
    /// there is one, the projection is stopped in the same transaction.
    pub(super) async fn singly<'b>(
        &self,
        transaction: &mut Transaction<'_>,
        batch: &mut Batch<'b>,
    ) -> Result<(BTreeMap<&'b Partition, Passed>, Option<Poison>), Error> {
        let mut first: Option<Poison> = None;
        for generation in self.generations {
            self.enter(transaction, generation).await?;
            let (events, _) = self.readable(generation, batch)?;
            for (_, event) in &events {
                if let Err(poison) = self.run_one(transaction, generation, event).await? {
                    batch.cut(poison.position);
                    first = Some(poison);
                    break;
                }
            }
        }
        let mut live = None;
        for generation in self.generations {
            let (_, passed) = self.readable(generation, batch)?;
            let name = &generation.folder.name;
            checkpoint::advance(
                transaction,
                name,
                generation.number,
                &batch.moved,
                &passed,
                self.stream_types,
            )
            .await?;
            live.get_or_insert(passed);
        }
        if let Some(poison) = &first {
            let name = &self.generations[0].folder.name;
            transaction.execute(STOP, &[name, &RawJson::of(poison)]).await?;
        }
        Ok((live.unwrap_or_default(), first))
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
