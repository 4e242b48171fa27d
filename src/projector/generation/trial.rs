//! What only Postgres can say of a folder: it reads all of its SQL and runs its statements over no events. Undone at once.

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Error, Generation, is_about_the_sql, refuse};
use crate::{
    json::RawJson,
    postgres::{self, Failure},
    projector::{
        folder::{Fault, statement_file},
        sql::{Identifier, fill},
    },
};

const CATALOG: &str = include_str!("catalog.sql");
const TRY: &str = include_str!("try.sql");
const UNDO: &str = include_str!("undo.sql");
const UNDERSTAND: &str = include_str!("understand.sql");
const FLOATS: &str = include_str!("floats.sql");
const FILTER: &str = include_str!("filter.sql");
const SORT: &str = include_str!("sort.sql");

impl Generation {
    /// Tells all that Postgres has against the folder: now, not at the first event or request.
    pub(super) async fn check(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let mut faults = self.catalog(transaction).await?;
        faults.extend(floats(transaction, "table.sql").await?);
        for (event, statement) in &self.statements {
            let file = statement_file(event);
            let outcome = tried(transaction, run(transaction, &file, statement)).await?;
            faults.extend(outcome.unwrap_or_else(|said| vec![Fault::new(file, said)]));
        }
        for (name, query) in &self.folder.queries {
            let types: Vec<_> =
                query.parameters.iter().map(|parameter| parameter.parameter_type.wire()).collect();
            let outcome = tried(transaction, transaction.prepare_typed(&query.sql, &types)).await?;
            faults.extend(outcome.err().map(|said| Fault::new(format!("queries/{name}.sql"), said)));
        }
        for (list, columns, sql) in
            [("filter", &self.folder.filter, FILTER), ("sort", &self.folder.sort, SORT)]
        {
            for column in columns {
                let (table, quoted) = (Identifier::new(&self.folder.table), Identifier::new(column));
                let sql = fill(sql, &[("table", table.as_str()), ("column", quoted.as_str())]);
                let outcome = tried(transaction, transaction.prepare(&sql)).await?;
                let fault = |said| Fault::new("projection.toml", format!("`{column}` in `{list}`: {said}"));
                faults.extend(outcome.err().map(fault));
            }
        }
        refuse(&faults)
    }

    /// How volatile functions are, and what became of the tables.
    async fn catalog(&self, transaction: &Transaction<'_>) -> Result<Vec<Fault>, Error> {
        let (files, names): (Vec<&str>, Vec<&str>) = self.folder.functions().unzip();
        let rows = transaction.query(CATALOG, &[&self.schema, &files, &names]).await?;
        Ok(rows.iter().map(|row| Fault::new(row.get::<_, String>(0), row.get::<_, String>(1))).collect())
    }
}

/// Does something and undoes it; or tells what Postgres has against its SQL.
async fn tried<T>(
    transaction: &Transaction<'_>,
    trial: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<Result<T, String>, Error> {
    transaction.batch_execute(TRY).await?;
    let outcome = trial.await;
    transaction.batch_execute(UNDO).await?;
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(error) => match error.as_db_error().filter(|said| is_about_the_sql(said.code())) {
            Some(said) => Ok(Err(said.message().to_owned())),
            None => Err(error.into()),
        },
    }
}

/// Runs a statement over no events; returns the floats in it.
async fn run(
    transaction: &Transaction<'_>,
    file: &str,
    statement: &str,
) -> Result<Vec<Fault>, tokio_postgres::Error> {
    transaction.batch_execute(&fill(UNDERSTAND, &[("statement", statement)])).await?;
    let faults = floats(transaction, file).await?;
    let statement = transaction.prepare(statement).await?;
    let none: [&(dyn ToSql + Sync); 10] = [
        &"",
        &"",
        &0,
        &Vec::<i64>::new(),
        &Vec::<Uuid>::new(),
        &Vec::<i64>::new(),
        &Vec::<Uuid>::new(),
        &Vec::<RawJson>::new(),
        &Vec::<&str>::new(),
        &Vec::<chrono::DateTime<chrono::Utc>>::new(),
    ];
    match transaction.execute(&statement, &none).await {
        // It is never asked about no events: an average of none may be refused.
        Err(error) if postgres::classify(&error) == Failure::Data => Ok(faults),
        outcome => outcome.map(|_| faults),
    }
}

/// The floats that are called for in the tables, or in the statement that was understood last.
async fn floats(transaction: &Transaction<'_>, file: &str) -> Result<Vec<Fault>, tokio_postgres::Error> {
    let rows = transaction.query(FLOATS, &[&file]).await?;
    Ok(rows.iter().map(|row| Fault::new(file, row.get::<_, String>(0))).collect())
}
