//! What a generation's main table looks like, and the folder it was made from.

use std::collections::BTreeMap;

use deadpool_postgres::Object;
use tokio_postgres::types::Type;

use super::Error;
use crate::{
    json::RawJson,
    projector::{Folder, sql::Identifier},
};

const LIVE: &str = include_str!("live.sql");
const COLUMNS: &str = include_str!("columns.sql");

/// A generation as the API needs to know it.
#[derive(Debug)]
pub struct Catalog {
    pub generation: i32,
    pub folder: Folder,
    /// The main table's, in their order.
    pub columns: Vec<Column>,
    pub(super) schema: Identifier,
    pub(super) table: Identifier,
}

/// A column of the main table.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub(super) wire: Type,
}

impl Catalog {
    /// The live generation of a read model; `None` where there is none.
    pub(super) async fn load(client: &Object, name: &str) -> Result<Option<Self>, Error> {
        let Some(row) = client.query_opt(LIVE, &[&name]).await? else {
            return Ok(None);
        };
        let (generation, schema, files): (i32, String, RawJson) = (row.get(0), row.get(1), row.get(2));
        let files: BTreeMap<String, String> = files.parse().unwrap_or_default();
        let Ok(folder) = Folder::stored(files) else {
            return Err(Error::Unknown(name.to_owned()));
        };
        let rows = client.query(COLUMNS, &[&schema, &folder.table]).await?;
        let columns = rows.iter().map(|row| Column {
            name: row.get(0),
            // A type that is not built in is left for Postgres to infer.
            wire: Type::from_oid(row.get(1)).unwrap_or(Type::UNKNOWN),
        });
        Ok(Some(Self {
            generation,
            columns: columns.collect(),
            schema: Identifier::new(&schema),
            table: Identifier::new(&folder.table),
            folder,
        }))
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}
