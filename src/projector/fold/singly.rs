//! The way to find the events that make a batch fail: one at a time, each under a savepoint.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;

use super::{Error, Fold, Poison, enter, park::ToPark, together::Columns};
use crate::{
    log::{Event, Partition},
    postgres::{self, Failure},
    projector::{
        batch::Batch,
        checkpoint::{self, Passed},
        folder::OnError,
        generation::Generation,
    },
};

impl Fold<'_> {
    /// Runs a batch in a generation in the order of positions, up to the first event that the database refuses and that
    /// may not be parked, and cuts it there.
    pub(super) async fn singly<'b>(
        &self,
        transaction: &mut Transaction<'_>,
        generation: &Generation,
        batch: &mut Batch<'b>,
    ) -> Result<(BTreeMap<&'b Partition, Passed>, Option<Poison>), Error> {
        let Generation { number, folder, .. } = generation;
        let mut parked = self.parked(transaction, generation).await?;
        enter(transaction, generation).await?;
        let mut to_park: Vec<ToPark<'_>> = Vec::new();
        let mut first = None;
        let events = self.readable(generation, batch)?.0;
        for (partition, event) in &events {
            if parked.hold(event) {
                to_park.push(ToPark { partition, event, poison: None });
                continue;
            }
            match run_one(transaction, generation, event).await? {
                Ok(()) => {}
                Err(poison) if folder.on_error == OnError::Park && poison.is_data() => {
                    parked.insert(event);
                    to_park.push(ToPark { partition, event, poison: Some(poison) });
                }
                Err(poison) => {
                    first = Some(poison);
                    break;
                }
            }
        }
        if let Some(poison) = &first {
            batch.cut(poison.position);
        }
        let (_, mut passed) = self.readable(generation, batch)?;
        self.park(transaction, generation, &to_park, &mut passed).await?;
        checkpoint::advance(transaction, &folder.name, *number, &batch.moved, &passed, self.stream_types)
            .await?;
        Ok((passed, first))
    }
}

/// Runs one event; what the database has against it, where it has. Undone then.
pub(in crate::projector) async fn run_one(
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
