//! Generations: each build of a read model, in a schema of its own, with the folder it was made from.
//!
//! Makes the first one; a later one is a rebuild's. The invariant: what a generation's rows were folded with is what is
//! stored beside it, so a folder that changed without a new version is refused instead of being mixed in.

use std::collections::BTreeMap;

use deadpool_postgres::{Pool, Transaction};
use tokio_postgres::error::SqlState;

use super::{
    Deps,
    folder::{Fault, Folder, statement_file},
    sql::{Identifier, fill},
};
use crate::{json::RawJson, postgres};

const LOCK: &str = include_str!("generation/lock.sql");
const LIVE: &str = include_str!("generation/live.sql");
const INSERT_PROJECTION: &str = include_str!("generation/insert_projection.sql");
const INSERT: &str = include_str!("generation/insert.sql");
const CREATE_SCHEMA: &str = include_str!("generation/create_schema.sql");
const GRANT_READS: &str = include_str!("generation/grant_reads.sql");
/// What the API reads of a table's columns, too.
const COLUMNS: &str = include_str!("../read_model/columns.sql");
const CATALOG: &str = include_str!("generation/catalog.sql");
const RESUME: &str = include_str!("generation/resume.sql");

/// The number of a projection's first generation.
const FIRST: i32 = 1;

/// A generation that workers feed.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: i32,
    pub(super) schema: String,
    pub(super) folder: Folder,
    /// For each event type the statement over `events`.
    pub(super) statements: BTreeMap<String, String>,
}

/// Why a projection has no generation to work on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Somebody has to decide or to mend.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The live generation of a folder's projection; made now where there is none.
pub(super) async fn open(deps: &Deps, folder: &Folder) -> Result<Generation, Error> {
    let mut client = deps.read.get().await.map_err(postgres::Error::from)?;
    let transaction = client.transaction().await?;
    transaction.execute(LOCK, &[&folder.name]).await?;
    let generation = match transaction.query_opt(LIVE, &[&folder.name]).await? {
        Some(row) => {
            let stored: RawJson = row.get(3);
            known(folder, row.get(0), row.get(1), row.get(2), &stored)?
        }
        None => create(&transaction, folder, &folder.fingerprint(&deps.registry)).await?,
    };
    transaction.commit().await?;
    Ok(generation)
}

/// Lets a stopped projection try once more.
pub(super) async fn resume(pool: &Pool, projection: &str) -> Result<(), postgres::Error> {
    pool.get().await?.execute(RESUME, &[&projection]).await?;
    Ok(())
}

/// The stored generation, if the folder on disk is still the one it was made from.
fn known(
    folder: &Folder,
    number: i32,
    schema: String,
    version: i32,
    stored: &RawJson,
) -> Result<Generation, Error> {
    let files: BTreeMap<String, String> = stored
        .parse()
        .map_err(|error| Error::Refused(format!("the folder stored with generation {number}: {error}")))?;
    if folder.version != version {
        return Err(Error::Refused(format!(
            "the folder has version {}, generation {number} was made of version {version}: rebuild it with \
             `annals projections rebuild {}`, or put the folder of version {version} back",
            folder.version, folder.name
        )));
    }
    if files != *folder.files() {
        let changed = changed(&files, folder.files()).join(", ");
        return Err(Error::Refused(format!(
            "the folder changed ({changed}) under the same version {version}, and its rows were made by the old one: \
             raise `version` for a rebuild, or undo the change"
        )));
    }
    Ok(Generation::new(number, schema, folder.clone()))
}

fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

async fn create(
    transaction: &Transaction<'_>,
    folder: &Folder,
    fingerprint: &str,
) -> Result<Generation, Error> {
    let schema = format!("projection_{}_{FIRST}", folder.name);
    let generation = Generation::new(FIRST, schema, folder.clone());
    transaction.execute(INSERT_PROJECTION, &[&folder.name, &FIRST]).await?;
    let files = RawJson::of(folder.files());
    let version = folder.version;
    transaction
        .execute(INSERT, &[&folder.name, &FIRST, &generation.schema, &version, &fingerprint, &files])
        .await?;
    let schema = Identifier::new(&generation.schema);
    transaction.batch_execute(&fill(CREATE_SCHEMA, &[("schema", schema.as_str())])).await?;
    build(transaction, folder).await?;
    transaction.batch_execute(&fill(GRANT_READS, &[("schema", schema.as_str())])).await?;
    generation.check(transaction).await?;
    Ok(generation)
}

/// Runs the folder's own SQL; what Postgres has against it is the folder's fault.
async fn build(transaction: &Transaction<'_>, folder: &Folder) -> Result<(), Error> {
    transaction.batch_execute(folder.table_sql()).await.map_err(|error| fault("table.sql", error))?;
    if let Some(indexes) = folder.indexes_sql() {
        transaction.batch_execute(indexes).await.map_err(|error| fault("indexes.sql", error))?;
    }
    Ok(())
}

fn fault(file: &str, error: tokio_postgres::Error) -> Error {
    let Some(said) = error.as_db_error().filter(|error| is_about_the_sql(error.code())) else {
        return error.into();
    };
    Error::Refused(Fault::new(file, said.message()).to_string())
}

/// Class 42 (syntax, access), 22 and 23 (constants in it), 0A (not supported), 3F (no such schema).
fn is_about_the_sql(state: &SqlState) -> bool {
    matches!(state.code().get(..2), Some("42" | "22" | "23" | "0A" | "3F"))
}

impl Generation {
    fn new(number: i32, schema: String, folder: Folder) -> Self {
        let over = |event: &String| Some((event.clone(), folder.statement(event)?.over_events(&schema)));
        let statements = folder.events.iter().filter_map(over).collect();
        Self { number, schema, folder, statements }
    }

    /// Lets Postgres read every statement: unknown columns and wrong types show now, not at the first event.
    async fn check(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        self.check_columns(transaction).await?;
        self.check_catalog(transaction).await?;
        for (event, statement) in &self.statements {
            transaction.prepare(statement).await.map_err(|error| fault(&statement_file(event), error))?;
        }
        for (name, query) in &self.folder.queries {
            let types: Vec<_> =
                query.parameters.iter().map(|parameter| parameter.parameter_type.wire()).collect();
            transaction
                .prepare_typed(&query.sql, &types)
                .await
                .map_err(|error| fault(&format!("queries/{name}.sql"), error))?;
        }
        Ok(())
    }

    /// What the folder says of its main table's columns has to be so. A sorted column that may be null would let pages
    /// lose rows.
    async fn check_columns(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let Folder { table, key, filter, sort, .. } = &self.folder;
        let mut nullable = BTreeMap::new();
        for row in transaction.query(COLUMNS, &[&self.schema, table]).await? {
            nullable.insert(row.get::<_, String>(0), row.get::<_, bool>(2));
        }
        let mut faults = Vec::new();
        for column in key.iter().chain(filter).chain(sort) {
            if !nullable.contains_key(column) {
                faults.push(Fault::new("table.sql", format!("table `{table}` has no column `{column}`")));
            }
        }
        for column in key.iter().chain(sort).filter(|column| nullable.get(*column) == Some(&true)) {
            faults.push(Fault::new("table.sql", format!("`{column}` is sorted by and must be `not null`")));
        }
        refuse(&faults)
    }

    /// What no parser can tell: how volatile functions are, and what became of the tables.
    async fn check_catalog(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let (files, names): (Vec<&str>, Vec<&str>) = self.folder.functions().unzip();
        let rows = transaction.query(CATALOG, &[&self.schema, &files, &names]).await?;
        let faults: Vec<Fault> =
            rows.iter().map(|row| Fault::new(row.get::<_, String>(0), row.get::<_, String>(1))).collect();
        refuse(&faults)
    }
}

/// Tells all faults at once, if there are any.
fn refuse(faults: &[Fault]) -> Result<(), Error> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")))
}
