//! One moment of one read model: what an answer says of it, and a transaction for reads of more than one statement.

use std::collections::BTreeMap;

use deadpool_postgres::{Object, Transaction};
use tokio_postgres::{IsolationLevel, Row};

use super::{
    Answer, BadParameter, Catalog, Error,
    parameter::{Given, blame, split, unreadable},
    relay::complete_to,
    wait::{Reached, are_reached},
};
use crate::log::{Partition, Position, Relayed};

/// The state of a read model, by its name.
pub(super) const OPEN: &str = include_str!("open.sql");
const AFRESH: &str = include_str!("afresh.sql");

/// Why a read has to begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stale {
    /// Another generation is live by now.
    Generation,
    /// The database has not what was folded in it: a crash took commits that did not wait for the disk. They are folded
    /// again.
    Checkpoints,
}

/// How far a generation is, and what is missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    generation: i32,
    position: Position,
    parked: i64,
}

impl Moment {
    /// Of what [`OPEN`] says. `relayed` was seen before.
    pub(super) fn of(row: &Row, reached: &Reached, relayed: Option<&Relayed>) -> Result<Self, Stale> {
        let (catalog, checkpoints) = (&reached.catalog, checkpoints(row));
        let generation: i32 = row.get("live_generation");
        if generation != catalog.generation {
            return Err(Stale::Generation);
        }
        if !are_reached(&checkpoints, &reached.targets) {
            return Err(Stale::Checkpoints);
        }
        let position = complete_to(&checkpoints, relayed, &catalog.folder.stream_types());
        Ok(Self { generation, position, parked: row.get("parked") })
    }

    pub(super) fn answer<T>(self, value: T) -> Answer<T> {
        let Self { generation, position, parked } = self;
        Answer { value, position, generation, parked }
    }
}

fn checkpoints(row: &Row) -> BTreeMap<Partition, Position> {
    let (stream_types, numbers, positions): (Vec<String>, Vec<i32>, Vec<i64>) =
        (row.get("stream_types"), row.get("partitions"), row.get("positions"));
    let partitions =
        stream_types.into_iter().zip(numbers).map(|(stream_type, number)| Partition { stream_type, number });
    partitions.zip(positions.into_iter().map(Position)).collect()
}

/// An open snapshot of a generation. Its transaction is rolled back when it is dropped, which nobody waits for.
pub(super) struct Snapshot<'c> {
    pub(super) transaction: Transaction<'c>,
    pub(super) catalog: &'c Catalog,
    moment: Moment,
}

impl<'c> Snapshot<'c> {
    /// Opens a snapshot of the generation that was reached. `relayed` was seen before.
    pub(super) async fn open(
        client: &'c mut Object,
        reached: &'c Reached,
        relayed: Option<&Relayed>,
    ) -> Result<Result<Self, Stale>, Error> {
        let catalog = &*reached.catalog;
        let open = client.prepare_cached(OPEN).await?;
        let begin =
            client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let transaction = begin.start().await?;
        let row = transaction.query_opt(&open, &[&catalog.folder.name]).await?;
        let moment = row.map_or(Err(Stale::Generation), |row| Moment::of(&row, reached, relayed));
        Ok(moment.map(|moment| Self { transaction, catalog, moment }))
    }

    pub(super) fn answer<T>(&self, value: T) -> Answer<T> {
        self.moment.answer(value)
    }

    /// Runs a statement whose text depends on the request. Not prepared by name: sessions would keep every variant.
    pub(super) async fn rows(&self, sql: &str, given: &[Given<'_>]) -> Result<Vec<Row>, Error> {
        let (wires, values) = split(given);
        let parameters: Vec<_> = values.into_iter().zip(wires).collect();
        match self.transaction.query_typed(sql, &parameters).await {
            Ok(rows) => Ok(rows),
            Err(error) => {
                self.transaction.batch_execute(AFRESH).await?;
                Err(blame(&*self.transaction, given, Some(AFRESH), error).await)
            }
        }
    }

    /// Which values are not what they are declared as. Ends the snapshot.
    pub(super) async fn unreadable(self, given: &[Given<'_>]) -> Result<Vec<BadParameter>, Error> {
        Ok(unreadable(&*self.transaction, given, Some(AFRESH)).await?)
    }
}
