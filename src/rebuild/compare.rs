//! What two generations hold, table by table, in one snapshot.
//!
//! Exact, because whoever follows stands in every snapshot where the live one does. Sums of hashes tell equal tables; only
//! where they differ are rows looked for.

use deadpool_postgres::{Pool, Transaction};
use serde::{Deserialize, Serialize};
use tokio_postgres::IsolationLevel;
use uuid::Uuid;

use crate::projector::{
    candidate::Error,
    sql::{Identifier, fill},
};

const BOTH: &str = include_str!("both.sql");
const TABLES: &str = include_str!("tables.sql");
const SUM: &str = include_str!("sum.sql");
const UNLIKE: &str = include_str!("unlike.sql");
const ENTER: &str = include_str!("../projector/generation/enter.sql");

/// Rows of a difference that are told, per table and side.
const ROWS_TOLD_MAX: usize = 20;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Both were made from the same folder by the same program, so they have to be equal.
    pub must_be_equal: bool,
    pub tables: Vec<TableComparison>,
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
    /// Whether they differ although they must not.
    pub fn is_wrong(&self) -> bool {
        self.must_be_equal && self.tables.iter().any(|table| !table.is_equal)
    }
}

/// Compares the generation of a rebuild with the live one.
pub(super) async fn compare(pool: &Pool, id: Uuid) -> Result<Comparison, Error> {
    let mut client = pool.get().await.map_err(crate::postgres::Error::from)?;
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let transaction = snapshot.start().await?;
    let both = transaction.query_opt(BOTH, &[&id]).await?;
    let both =
        both.ok_or_else(|| Error::Refused("the new generation does not follow the log any more".into()))?;
    let (live, new): (String, String) = (both.get(0), both.get(1));
    let must_be_equal = both.get(2);
    let (live_schema, new_schema) = (Identifier::new(&live), Identifier::new(&new));
    transaction.batch_execute(&fill(ENTER, &[("schema", new_schema.as_str())])).await?;
    let mut tables = Vec::new();
    for row in transaction.query(TABLES, &[&live, &new]).await? {
        let name: String = row.get(0);
        let table = Identifier::new(&name);
        let (live, new) =
            (row.get::<_, bool>(1).then_some(&live_schema), row.get::<_, bool>(2).then_some(&new_schema));
        let (live_sum, new_sum) =
            (sum(&transaction, live, &table).await?, sum(&transaction, new, &table).await?);
        let mut found = TableComparison {
            table: name,
            is_equal: live_sum == new_sum,
            live_rows: live_sum.map(|sum| sum.0),
            new_rows: new_sum.map(|sum| sum.0),
            only_live: Vec::new(),
            only_new: Vec::new(),
        };
        if let (true, false, Some(live), Some(new)) = (must_be_equal, found.is_equal, live, new) {
            found.only_live = unlike(&transaction, &table, live, new).await?;
            found.only_new = unlike(&transaction, &table, new, live).await?;
        }
        tables.push(found);
    }
    transaction.commit().await?;
    Ok(Comparison { must_be_equal, tables })
}

/// How many rows, and the sum of their hashes.
async fn sum(
    transaction: &Transaction<'_>,
    schema: Option<&Identifier>,
    table: &Identifier,
) -> Result<Option<(i64, String)>, Error> {
    let Some(schema) = schema else {
        return Ok(None);
    };
    let sql = fill(SUM, &[("schema", schema.as_str()), ("table", table.as_str())]);
    let row = transaction.query_one(&sql, &[]).await?;
    Ok(Some((row.get(0), row.get(1))))
}

async fn unlike(
    transaction: &Transaction<'_>,
    table: &Identifier,
    schema: &Identifier,
    other: &Identifier,
) -> Result<Vec<serde_json::Value>, Error> {
    let limit = ROWS_TOLD_MAX.to_string();
    let values = [
        ("schema", schema.as_str()),
        ("other", other.as_str()),
        ("table", table.as_str()),
        ("limit", &limit),
    ];
    let rows = transaction.query(&fill(UNLIKE, &values), &[]).await?;
    let row = |row: &tokio_postgres::Row| {
        let text: String = row.get(0);
        serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))
    };
    Ok(rows.iter().map(row).collect())
}
