//! One moment of one read model: a transaction that reads only, as the reader, with an end to its time.

use std::{collections::BTreeMap, time::Duration};

use deadpool_postgres::{Object, Pool, Transaction};
use tokio_postgres::{
    IsolationLevel, Row,
    types::{ToSql, Type},
};

use super::{
    Answer, Catalog, Error,
    parameter::{Given, Text, blame},
    relay::complete_to,
};
use crate::{
    json::RawJson,
    log::{Position, Relayed},
    projector::{
        Partition,
        sql::{Identifier, fill},
    },
};

const OPEN: &str = include_str!("open.sql");
const GET: &str = include_str!("get.sql");

/// An open snapshot of a generation. Its transaction is rolled back when it is dropped, which nobody waits for.
pub(super) struct Snapshot<'c> {
    pub(super) pool: &'c Pool,
    pub(super) transaction: Transaction<'c>,
    pub(super) catalog: &'c Catalog,
    position: Position,
    parked: i64,
}

impl<'c> Snapshot<'c> {
    /// Opens a snapshot of `catalog`'s generation; `None` when another one is live. `relayed` was seen before.
    pub(super) async fn open(
        pool: &'c Pool,
        client: &'c mut Object,
        catalog: &'c Catalog,
        relayed: Option<&Relayed>,
        statement_timeout: Duration,
    ) -> Result<Option<Self>, Error> {
        let open = client.prepare_cached(OPEN).await?;
        let begin =
            client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let transaction = begin.start().await?;
        let timeout = format!("{}ms", statement_timeout.as_millis());
        let row = transaction.query_opt(&open, &[&catalog.folder.name, &timeout]).await?;
        Ok(row.filter(|row| row.get::<_, i32>(0) == catalog.generation).map(|row| Self {
            pool,
            transaction,
            catalog,
            position: complete_to(&checkpoints(&row), relayed, &catalog.folder.stream_types()),
            parked: row.get(1),
        }))
    }

    pub(super) fn answer<T>(&self, value: T) -> Answer<T> {
        Answer { value, position: self.position, generation: self.catalog.generation, parked: self.parked }
    }

    /// The row with a key, given in the order of the key's columns.
    pub(super) async fn get(&self, key: &[&str]) -> Result<Answer<Option<RawJson>>, Error> {
        let columns = &self.catalog.folder.key;
        if key.len() != columns.len() {
            let detail = format!("has {} parts, the key of this read model has {}", key.len(), columns.len());
            return Err(Error::BadParameter { name: "key".into(), detail });
        }
        let conditions = columns
            .iter()
            .zip(1..)
            .map(|(column, number)| format!("r.{} = ${number}", Identifier::new(column)));
        let conditions = conditions.collect::<Vec<_>>().join(" and ");
        let sql = fill(
            GET,
            &[
                ("schema", self.catalog.schema.as_str()),
                ("table", self.catalog.table.as_str()),
                ("conditions", &conditions),
            ],
        );
        let given: Vec<Given<'_>> =
            columns.iter().zip(key).map(|(column, value)| self.given(column, column, value)).collect();
        let (wires, values) = split(&given);
        // One statement per generation, so each session may keep it.
        let statement = self.transaction.prepare_typed_cached(&sql, &wires).await?;
        match self.transaction.query_opt(&statement, &values).await {
            Ok(row) => Ok(self.answer(row.map(|row| row.get(0)))),
            Err(error) => Err(blame(self.pool, &given, error).await),
        }
    }

    /// A value for a column.
    pub(super) fn given<'v>(&self, name: &'v str, column: &str, value: &'v str) -> Given<'v> {
        let wire = self.catalog.column(column).map(|column| column.wire.clone());
        Given { name, value: Text(Some(value)), wire: wire.unwrap_or(Type::UNKNOWN) }
    }

    /// Runs a statement whose text depends on the request. Not prepared by name: sessions would keep every variant.
    pub(super) async fn rows(&self, sql: &str, given: &[Given<'_>]) -> Result<Vec<Row>, Error> {
        let (wires, values) = split(given);
        let parameters: Vec<_> = values.into_iter().zip(wires).collect();
        match self.transaction.query_typed(sql, &parameters).await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(blame(self.pool, given, error).await),
        }
    }
}

fn split<'g>(given: &'g [Given<'_>]) -> (Vec<Type>, Vec<&'g (dyn ToSql + Sync)>) {
    given.iter().map(|given| (given.wire.clone(), &given.value as &(dyn ToSql + Sync))).unzip()
}

fn checkpoints(row: &Row) -> BTreeMap<Partition, Position> {
    let (stream_types, numbers, positions): (Vec<String>, Vec<i32>, Vec<i64>) =
        (row.get(2), row.get(3), row.get(4));
    let partitions =
        stream_types.into_iter().zip(numbers).map(|(stream_type, number)| Partition { stream_type, number });
    partitions.zip(positions.into_iter().map(Position)).collect()
}
