//! What two generations hold, table by table, in one snapshot.
//!
//! Generations that workers feed are at the same position in every snapshot. Tables with the same number of rows and the same
//! sum of hashes count as equal; in others the rows that differ are looked for. Streams that either has parked cannot be
//! alike in both: rows that name one of them are left out, and the streams are told.

use deadpool_postgres::{Pool, Transaction};
use serde::{Deserialize, Serialize};
use tokio_postgres::{IsolationLevel, types::ToSql};
use uuid::Uuid;

use super::{Rebuild, Swap};
use crate::projector::{
    candidate::Error,
    sql::{Identifier, fill},
};

const BOTH: &str = include_str!("both.sql");
const PARKED: &str = include_str!("parked.sql");
const NAMING: &str = include_str!("naming.sql");
const TABLES: &str = include_str!("tables.sql");
const SUM: &str = include_str!("sum.sql");
const UNLIKE: &str = include_str!("unlike.sql");
const ENTER: &str = include_str!("../projector/generation/enter.sql");

/// Rows of a difference that are told, per table and side.
const ROWS_TOLD_MAX: usize = 20;
/// Parked streams that are told.
const STREAMS_TOLD_MAX: usize = 100;

/// What was found. Stored as JSON: the aliases are the names that fields had before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Both were made from the same folder, and by the same program unless the new one is only to be compared: so they have to
    /// be equal.
    pub must_be_equal: bool,
    /// How many streams one of them has parked.
    #[serde(default, alias = "set_apart_count")]
    pub parked_count: usize,
    /// Whether the new one has parked a stream that the live one has not, or from an earlier event on, by which rows that are
    /// served would go back.
    #[serde(default, alias = "sets_more_apart")]
    pub parks_more: bool,
    /// The first of those streams. Rows that name one of them are not in what follows.
    #[serde(default, alias = "set_apart")]
    pub parked: Vec<ParkedStream>,
    pub tables: Vec<TableComparison>,
}

/// A parked stream, whose rows were left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedStream {
    pub stream_type: String,
    pub stream_id: Uuid,
    /// Whether the live generation has parked it.
    pub in_live: bool,
    /// Whether the new one has.
    pub in_new: bool,
}

/// What was found about a table; `None` where a generation does not have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableComparison {
    pub table: String,
    pub is_equal: bool,
    pub live_rows: Option<i64>,
    pub new_rows: Option<i64>,
    /// The first rows that only the live generation has so.
    pub only_live: Vec<serde_json::Value>,
    /// The first rows that only the new generation has so.
    pub only_new: Vec<serde_json::Value>,
}

impl Comparison {
    /// Whether they differ although they must not, or the new one lacks what the live one has of a stream.
    pub fn is_wrong(&self) -> bool {
        self.parks_more || self.must_be_equal && self.tables.iter().any(|table| !table.is_equal)
    }
}

/// Compares the generation of a rebuild with the live one.
pub(super) async fn compare(pool: &Pool, rebuild: &Rebuild) -> Result<Comparison, Error> {
    let mut client = pool.get().await.map_err(crate::postgres::Error::from)?;
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let transaction = snapshot.start().await?;
    let both = transaction.query_opt(BOTH, &[&rebuild.id]).await?;
    let both =
        both.ok_or_else(|| Error::Refused("the new generation does not follow the log any more".into()))?;
    let (live, new): (String, String) = (both.get(0), both.get(1));
    let (mut parked, mut parks_more) = (Vec::new(), false);
    let generations = [both.get::<_, i32>(4), both.get(5)];
    let parameters: [&(dyn ToSql + Sync); 3] = [&both.get::<_, String>(3), &generations[0], &generations[1]];
    for row in transaction.query(PARKED, &parameters).await? {
        let [in_live, in_new]: [Option<i64>; 2] = [row.get(2), row.get(3)];
        parks_more |= in_new.is_some_and(|new| in_live.is_none_or(|live| new < live));
        let (stream_type, stream_id) = (row.get(0), row.get(1));
        let (in_live, in_new) = (in_live.is_some(), in_new.is_some());
        parked.push(ParkedStream { stream_type, stream_id, in_live, in_new });
    }
    let left_out: Vec<String> = parked.iter().map(|stream| stream.stream_id.to_string()).collect();
    transaction.batch_execute(&fill(ENTER, &[("schema", Identifier::new(&new).as_str())])).await?;
    let mut found = Comparison {
        must_be_equal: both.get(2) || rebuild.swap == Swap::Never,
        parked_count: parked.len(),
        parks_more,
        parked: parked.into_iter().take(STREAMS_TOLD_MAX).collect(),
        tables: Vec::new(),
    };
    for row in transaction.query(TABLES, &[&live, &new]).await? {
        let (table, in_live, in_new): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
        let live = if in_live { Some(Side::of(&transaction, &live, &table, &left_out).await?) } else { None };
        let new = if in_new { Some(Side::of(&transaction, &new, &table, &left_out).await?) } else { None };
        let compared = compare_table(table, live, new, found.must_be_equal).await?;
        found.tables.push(compared);
    }
    transaction.commit().await?;
    Ok(found)
}

async fn compare_table(
    table: String,
    live: Option<Side<'_>>,
    new: Option<Side<'_>>,
    must_be_equal: bool,
) -> Result<TableComparison, Error> {
    let sum = |side: &Option<Side<'_>>| side.as_ref().map(|side| side.sum.clone());
    let rows = |side: &Option<Side<'_>>| side.as_ref().map(|side| side.sum.0);
    let mut found = TableComparison {
        table,
        is_equal: sum(&live) == sum(&new),
        live_rows: rows(&live),
        new_rows: rows(&new),
        only_live: Vec::new(),
        only_new: Vec::new(),
    };
    if let (true, false, Some(live), Some(new)) = (must_be_equal, found.is_equal, live, new) {
        found.only_live = live.unlike(&new).await?;
        found.only_new = new.unlike(&live).await?;
    }
    Ok(found)
}

/// A table of one generation.
struct Side<'a> {
    transaction: &'a Transaction<'a>,
    schema: Identifier,
    table: Identifier,
    /// SQL expressions of the columns that may hold a stream's id.
    columns: String,
    /// Streams whose rows are left out.
    left_out: &'a [String],
    /// How many rows, and the sum of their hashes.
    sum: (i64, String),
}

impl<'a> Side<'a> {
    async fn of(
        transaction: &'a Transaction<'a>,
        schema: &str,
        table: &str,
        left_out: &'a [String],
    ) -> Result<Self, Error> {
        let naming = transaction.query(NAMING, &[&schema, &table]).await?;
        let column = |row: &tokio_postgres::Row| format!("\"$r\".{}::text", Identifier::new(row.get(0)));
        let columns = naming.iter().map(column).collect::<Vec<_>>().join(", ");
        let (schema, table) = (Identifier::new(schema), Identifier::new(table));
        let values = [("schema", schema.as_str()), ("table", table.as_str()), ("columns", &columns)];
        let row = transaction.query_one(&fill(SUM, &values), &[&left_out]).await?;
        let sum = (row.get(0), row.get(1));
        Ok(Self { transaction, schema, table, columns, left_out, sum })
    }

    /// The first rows that the other side does not have so.
    async fn unlike(&self, other: &Self) -> Result<Vec<serde_json::Value>, Error> {
        let limit = ROWS_TOLD_MAX.to_string();
        let values = [
            ("schema", self.schema.as_str()),
            ("other", other.schema.as_str()),
            ("table", self.table.as_str()),
            ("columns", &self.columns),
            ("limit", &limit),
        ];
        let rows = self.transaction.query(&fill(UNLIKE, &values), &[&self.left_out]).await?;
        let row = |row: &tokio_postgres::Row| {
            let text: String = row.get(0);
            serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))
        };
        Ok(rows.iter().map(row).collect())
    }
}
