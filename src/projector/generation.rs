//! Generations: each build of a read model, in a schema of its own, with the folder it was made from.
//!
//! Makes the first one; later ones are made by [`super::candidate`]. The invariant: a generation's rows were folded by the
//! folder that is stored with it, so a folder that changed without a new version is refused.

mod trial;

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::{Pool, Transaction};
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use super::{
    Deps,
    folder::{Fault, Folder},
    sql::{Identifier, fill},
};
use crate::{aggregate::Registry, json::RawJson, postgres};

const HOLD: &str = include_str!("generation/hold.sql");
const LOCK: &str = include_str!("generation/lock.sql");
const FOLLOWING: &str = include_str!("generation/following.sql");
const STORED: &str = include_str!("generation/stored.sql");
const NEXT: &str = include_str!("generation/next.sql");
const PRUNE: &str = include_str!("generation/prune.sql");
const INSERT_PROJECTION: &str = include_str!("generation/insert_projection.sql");
const INSERT: &str = include_str!("generation/insert.sql");
const CREATE_SCHEMA: &str = include_str!("generation/create_schema.sql");
const GRANT_READS: &str = include_str!("generation/grant_reads.sql");
const ENTER: &str = include_str!("generation/enter.sql");
const RESUME: &str = include_str!("generation/resume.sql");

/// A generation that workers feed.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: i32,
    pub(super) schema: String,
    pub(super) folder: Folder,
    /// For each event type the statement over `events`.
    pub(super) statements: BTreeMap<String, String>,
    /// The schema version of each event that it was made for.
    made_for: BTreeMap<String, i32>,
}

/// Why a projection has no generation to work on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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

/// The generations of a folder's projection that follow, the live one first; made now where there is none.
pub(super) async fn open(deps: &Deps, folder: &Folder) -> Result<Vec<Generation>, Error> {
    let mut client = deps.read.get().await.map_err(postgres::Error::from)?;
    let transaction = client.transaction().await?;
    lock(&transaction, &folder.name).await?;
    let mut generations = following(&transaction, &folder.name).await?;
    match generations.first() {
        Some(live) => refuse_changed(&live.folder, folder)?,
        None => {
            let number = next(&transaction, &folder.name).await?;
            transaction.execute(INSERT_PROJECTION, &[&folder.name, &number]).await?;
            let first = create(&transaction, folder, number, &deps.registry, true).await?;
            index(&transaction, &first).await?;
            generations.push(first);
        }
    }
    transaction.execute(PRUNE, &[&folder.name, &stream_types(&generations)]).await?;
    transaction.commit().await?;
    Ok(generations)
}

/// One process at a time changes which generations of a projection there are; until the transaction ends.
pub(crate) async fn lock(
    transaction: &Transaction<'_>,
    projection: &str,
) -> Result<(), tokio_postgres::Error> {
    transaction.execute(LOCK, &[&projection]).await?;
    Ok(())
}

/// The same, while nobody folds it: for who changes which generations follow, or which one serves.
pub(crate) async fn hold(
    transaction: &Transaction<'_>,
    projection: &str,
) -> Result<(), tokio_postgres::Error> {
    lock(transaction, projection).await?;
    transaction.execute(HOLD, &[&projection]).await?;
    Ok(())
}

/// The generations of a projection that follow, the live one first.
pub(super) async fn following(
    transaction: &Transaction<'_>,
    projection: &str,
) -> Result<Vec<Generation>, Error> {
    let rows = transaction.query(FOLLOWING, &[&projection]).await?;
    rows.iter().map(stored).collect()
}

/// A generation as it is stored, and whether it follows.
pub(super) async fn find(
    pool: &Pool,
    projection: &str,
    number: i32,
) -> Result<Option<(Generation, bool)>, Error> {
    let client = pool.get().await.map_err(postgres::Error::from)?;
    let row = client.query_opt(STORED, &[&projection, &number]).await?;
    row.map(|row| Ok((stored(&row)?, row.get(5)))).transpose()
}

/// Makes the next generation of a projection, which follows nothing yet and has no indexes; under the projection's lock.
pub(super) async fn create_next(
    transaction: &Transaction<'_>,
    folder: &Folder,
    registry: &Registry,
) -> Result<i32, Error> {
    let number = next(transaction, &folder.name).await?;
    Ok(create(transaction, folder, number, registry, false).await?.number)
}

async fn next(transaction: &Transaction<'_>, projection: &str) -> Result<i32, Error> {
    Ok(transaction.query_one(NEXT, &[&projection]).await?.get(0))
}

/// The stream types that some of these generations read.
pub(super) fn stream_types(generations: &[Generation]) -> Vec<String> {
    let types: BTreeSet<String> = generations.iter().flat_map(|known| known.folder.stream_types()).collect();
    types.into_iter().collect()
}

/// Lets a stopped projection try once more.
pub(super) async fn resume(pool: &Pool, projection: &str) -> Result<(), postgres::Error> {
    pool.get().await?.execute(RESUME, &[&projection]).await?;
    Ok(())
}

/// A generation with the folder that is stored with it.
fn stored(row: &Row) -> Result<Generation, Error> {
    let (number, schema, version, files): (i32, String, i32, RawJson) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    let unfit = |detail: String| {
        Error::Refused(format!("the folder (version {version}) stored with generation {number}: {detail}"))
    };
    let files = files.parse().map_err(|error| unfit(error.to_string()))?;
    let folder = Folder::stored(files)
        .map_err(|faults| unfit(faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")))?;
    let made_for: RawJson = row.get(4);
    let made_for = made_for.parse().map_err(|error| unfit(error.to_string()))?;
    Ok(Generation::new(number, schema, folder, made_for))
}

/// A folder of another version is for a rebuild; until then, and after going back, the stored one is worked with.
fn refuse_changed(live: &Folder, folder: &Folder) -> Result<(), Error> {
    if folder.version != live.version || folder.files() == live.files() {
        return Ok(());
    }
    let changed = changed(live.files(), folder.files()).join(", ");
    Err(Error::Refused(format!(
        "the folder changed ({changed}) under the same version {}, and its rows were made by the old one: raise `version` \
         for a rebuild, or undo the change",
        live.version
    )))
}

fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

/// Makes a generation's schema and tables. What Postgres has against the folder's SQL is the folder's fault.
async fn create(
    transaction: &Transaction<'_>,
    folder: &Folder,
    number: i32,
    registry: &Registry,
    follows: bool,
) -> Result<Generation, Error> {
    let schema = format!("projection_{}_{number}", folder.name);
    let made_for = RawJson::of(&folder.made_for(registry));
    let generation = Generation::new(number, schema, folder.clone(), BTreeMap::new());
    let (files, schema, fingerprint) =
        (RawJson::of(folder.files()), &generation.schema, folder.fingerprint(registry));
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&folder.name, &number, schema, &folder.version, &fingerprint, &files, &follows, &made_for];
    transaction.execute(INSERT, &parameters).await?;
    let schema = Identifier::new(schema);
    transaction.batch_execute(&fill(CREATE_SCHEMA, &[("schema", schema.as_str())])).await?;
    transaction.batch_execute(folder.table_sql()).await.map_err(|error| fault("table.sql", error))?;
    transaction.batch_execute(&fill(GRANT_READS, &[("schema", schema.as_str())])).await?;
    generation.check(transaction).await?;
    Ok(generation)
}

/// Makes a generation's indexes.
pub(super) async fn index(transaction: &Transaction<'_>, generation: &Generation) -> Result<(), Error> {
    let schema = Identifier::new(&generation.schema);
    transaction.batch_execute(&fill(ENTER, &[("schema", schema.as_str())])).await?;
    if let Some(indexes) = generation.folder.indexes_sql() {
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

/// Class 42 (syntax, access), 22 and 23 (constants in it), 0A (not supported), 3F (no such schema), 54 (too much of
/// something).
fn is_about_the_sql(state: &SqlState) -> bool {
    matches!(state.code().get(..2), Some("42" | "22" | "23" | "0A" | "3F" | "54"))
}

impl Generation {
    fn new(number: i32, schema: String, folder: Folder, made_for: BTreeMap<String, i32>) -> Self {
        let over = |event: &String| Some((event.clone(), folder.statement(event)?.over_events(&schema)));
        let statements = folder.events.iter().filter_map(over).collect();
        Self { number, schema, folder, statements, made_for }
    }

    /// An event that it reads in a newer form than this program knows.
    pub(super) fn newer_event(&self, registry: &Registry) -> Option<&str> {
        let is_newer = |(event, version): &(&String, &i32)| {
            registry.schema_version(event).is_none_or(|known| known < **version)
        };
        self.made_for.iter().find(is_newer).map(|(event, _)| event.as_str())
    }
}

/// Tells all faults at once, if there are any.
pub(super) fn refuse(faults: &[Fault]) -> Result<(), Error> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")))
}
