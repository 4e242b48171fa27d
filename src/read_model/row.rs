//! One row by its key: a single statement, and so of one moment without a transaction.

use deadpool_postgres::Object;

use super::{
    Answer, BadParameter, Error,
    parameter::{Given, blame, split},
    snapshot::{Moment, OPEN, Stale},
    wait::Reached,
};
use crate::{
    json::RawJson,
    log::Relayed,
    projector::sql::{Identifier, fill},
};

const ROW: &str = include_str!("row.sql");

/// The row with a key, given in the order of the key's columns.
pub(super) async fn get(
    client: &Object,
    reached: &Reached,
    relayed: Option<&Relayed>,
    key: &[String],
) -> Result<Result<Answer<Option<RawJson>>, Stale>, Error> {
    let catalog = &*reached.catalog;
    let columns = &catalog.folder.key;
    if key.len() != columns.len() {
        let detail = format!("has {} parts, the key of this read model has {}", key.len(), columns.len());
        return Err(Error::BadParameters(vec![BadParameter::new("key", detail)]));
    }
    // The first parameter is the read model's name.
    let conditions = columns
        .iter()
        .zip(2..)
        .map(|(column, number)| format!("\"$r\".{} = ${number}", Identifier::new(column)));
    let sql = fill(
        ROW,
        &[
            ("open", OPEN),
            ("schema", catalog.schema.as_str()),
            ("table", catalog.table.as_str()),
            ("conditions", &conditions.collect::<Vec<_>>().join(" and ")),
        ],
    );
    let name = Given::text("read model", &catalog.folder.name);
    let key = columns.iter().zip(key).map(|(column, value)| Given::of(catalog, column, column, value));
    let given: Vec<Given<'_>> = std::iter::once(name).chain(key).collect();
    let (wires, values) = split(&given);
    // One statement per generation, so each session may keep it.
    let statement = client.prepare_typed_cached(&sql, &wires).await?;
    match client.query_opt(&statement, &values).await {
        Ok(None) => Ok(Err(Stale::Generation)),
        Ok(Some(row)) => Ok(Moment::of(&row, reached, relayed).map(|moment| moment.answer(row.get("row")))),
        Err(error) => Err(blame(&***client, &given, None, error).await),
    }
}
