//! A read model as data: the folder of a projection, read and checked as a whole.
//!
//! Touches no database: what only a database can say (undeclared columns, wrong types) is found when the generation is
//! made. A folder that was loaded holds exactly the files it needs, each readable as SQL.

mod definition;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
};

use definition::Definition;
pub use definition::{OnError, Order, ParameterType, Rows};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    check::{Check, DeclaredColumn},
    statement::Statement,
};
use crate::aggregate::Registry;

const DEFINITION: &str = "projection.toml";
const TABLE: &str = "table.sql";
const INDEXES: &str = "indexes.sql";
/// Files that are for people.
const IGNORED: &[&str] = &["README.md"];

/// A projection's folder.
#[derive(Debug, Clone)]
pub struct Folder {
    pub name: String,
    /// Grows when the folder changes; a higher one is a rebuild.
    pub version: i32,
    pub description: String,
    /// The event types it folds; those of the same streams that are not listed count as ignored.
    pub events: Vec<String>,
    /// The main table, whose rows the API serves.
    pub table: String,
    /// The main table's key columns.
    pub key: Vec<String>,
    pub order: Order,
    pub rows: Rows,
    pub on_error: OnError,
    /// Columns the API may filter by.
    pub filter: Vec<String>,
    /// Columns the API may sort by.
    pub sort: Vec<String>,
    pub queries: BTreeMap<String, Query>,
    columns: Vec<DeclaredColumn>,
    statements: BTreeMap<String, Statement>,
    /// The functions that its SQL calls, each with its file.
    functions: BTreeSet<(String, String)>,
    files: BTreeMap<String, String>,
}

/// A named query of a folder.
#[derive(Debug, Clone)]
pub struct Query {
    pub description: String,
    /// In the order of `$1`, `$2`, ….
    pub parameters: Vec<Parameter>,
    /// The statement, which reads only.
    pub sql: String,
}

/// A parameter of a named query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub parameter_type: ParameterType,
    pub required: bool,
}

/// A folder's name and what is in it.
pub type Loaded = (String, Result<Folder, Vec<Fault>>);

/// One thing wrong with a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Inside the folder.
    pub file: String,
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.detail)
    }
}

impl Fault {
    pub(super) fn new(file: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self { file: file.into(), detail: detail.to_string() }
    }
}

impl Folder {
    /// Reads every folder of `dir`, in the order of their names; those that do not load come with their faults.
    pub fn load_all(dir: &Path) -> std::io::Result<Vec<Loaded>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && is_dir(&entry.path())? {
                names.push(name);
            }
        }
        names.sort();
        Ok(names.into_iter().map(|name| (name.clone(), Self::load(&dir.join(&name)))).collect())
    }

    /// Reads a folder. Every fault is reported, not only the first.
    pub fn load(path: &Path) -> Result<Self, Vec<Fault>> {
        let mut files = BTreeMap::new();
        read_files(path, "", &mut files)
            .map_err(|error| vec![Fault::new(path.display().to_string(), error)])?;
        let folder = Self::parse(files)?;
        let expected = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if expected.as_ref().is_some_and(|expected| *expected != folder.name) {
            let detail = format!("`name` is `{}`, but the folder is called otherwise", folder.name);
            return Err(vec![Fault::new(DEFINITION, detail)]);
        }
        Ok(folder)
    }

    /// Makes a folder of its files, by their paths inside it.
    pub fn parse(files: BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        let (folder, faults) = Self::read(files)?;
        if faults.is_empty() { Ok(folder) } else { Err(faults) }
    }

    /// Makes a folder of the files that a generation keeps. They were fit when it was made: rules that came later are for the next
    /// one.
    pub(crate) fn stored(files: BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        Ok(Self::read(files)?.0)
    }

    /// Parses the files: the folder with its faults, or only faults where none can be made.
    fn read(files: BTreeMap<String, String>) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let definition =
            files.get(DEFINITION).ok_or_else(|| vec![Fault::new(DEFINITION, "the file is missing")])?;
        let definition =
            Definition::parse(definition).map_err(|error| vec![Fault::new(DEFINITION, error)])?;
        let mut check = Check::default();
        check.faults.extend(definition.faults().into_iter().map(|detail| Fault::new(DEFINITION, detail)));
        tables(&definition, &files, &mut check);
        let statements = statements(&definition, &files, &mut check);
        let queries = queries(&definition, &files, &mut check);
        unexpected(&definition, &files, &mut check.faults);
        match (definition.order, definition.rows) {
            (Order::Stream, Rows::Own) => check.rows_are_own(TABLE),
            (Order::Stream, Rows::Shared) => check.rows_are_gathered(),
            (Order::Global, _) => {}
        }
        let main_table = definition.main_table().to_owned();
        let folder = Self {
            name: definition.name,
            version: definition.version,
            description: definition.description,
            events: definition.events,
            key: definition.key,
            order: definition.order,
            rows: definition.rows,
            on_error: definition.on_error,
            filter: definition.filter,
            sort: definition.sort,
            columns: check.main_columns(&main_table),
            queries,
            statements,
            functions: check.functions,
            files,
            table: main_table,
        };
        Ok((folder, check.faults))
    }

    /// What the program's domains have against it: events that nobody writes.
    pub fn check(&self, registry: &Registry) -> Vec<Fault> {
        let unknown = self.events.iter().filter(|event| registry.event(event).is_none());
        unknown.map(|event| Fault::new(DEFINITION, format!("no aggregate writes `{event}`"))).collect()
    }

    /// The stream types it reads: what its events' names begin with.
    pub fn stream_types(&self) -> Vec<String> {
        let mut types: Vec<String> =
            self.events.iter().filter_map(|event| Some(event.split_once('.')?.0.to_owned())).collect();
        types.sort();
        types.dedup();
        types
    }

    /// All its files, by their paths inside it.
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }

    /// What decides its rows, as a hash: the files, and how its events are read.
    pub fn fingerprint(&self, registry: &Registry) -> String {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        for (path, text) in &self.files {
            part(path);
            part(text);
        }
        for event in &self.events {
            let Some(aggregate) = registry.event(event) else {
                continue;
            };
            part(&format!("{event} {:?} {}", registry.schema_version(event), aggregate.revision()));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The schema version of each event that it folds, as this program knows them.
    pub(crate) fn made_for(&self, registry: &Registry) -> BTreeMap<&'static str, i32> {
        let mut versions = registry.schema_versions();
        versions.retain(|event, _| self.events.iter().any(|own| own == event));
        versions
    }

    /// The main table's columns, as `table.sql` declares them.
    pub(crate) fn columns(&self) -> &[DeclaredColumn] {
        &self.columns
    }

    /// The SQL that makes its tables.
    pub(super) fn table_sql(&self) -> &str {
        &self.files[TABLE]
    }

    /// The SQL that makes its indexes.
    pub(super) fn indexes_sql(&self) -> Option<&str> {
        self.files.get(INDEXES).map(String::as_str)
    }

    /// The functions that its SQL calls, each with its file.
    pub(super) fn functions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.functions.iter().map(|(file, name)| (file.as_str(), name.as_str()))
    }

    /// The statement of an event type it folds.
    pub(super) fn statement(&self, event_type: &str) -> Option<&Statement> {
        self.statements.get(event_type)
    }
}

/// Where the statement of an event type stands.
pub(super) fn statement_file(event_type: &str) -> String {
    format!("on/{event_type}.sql")
}

fn query_file(name: &str) -> String {
    format!("queries/{name}.sql")
}

/// Whether it is a folder, or a link to one.
fn is_dir(path: &Path) -> std::io::Result<bool> {
    Ok(fs::metadata(path).map_err(at(path))?.is_dir())
}

/// Names the file in an error.
fn at(path: &Path) -> impl FnOnce(std::io::Error) -> std::io::Error + use<'_> {
    move |error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn read_files(dir: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if name.starts_with('.') || IGNORED.contains(&path.as_str()) {
            continue;
        }
        if is_dir(&entry.path())? && prefix.is_empty() {
            read_files(&entry.path(), &format!("{name}/"), files)?;
        } else {
            let text = fs::read_to_string(entry.path()).map_err(at(&entry.path()))?;
            files.insert(path, text);
        }
    }
    Ok(())
}

fn tables(definition: &Definition, files: &BTreeMap<String, String>, check: &mut Check) {
    let Some(sql) = files.get(TABLE) else {
        return check.faults.push(Fault::new(TABLE, "the file is missing"));
    };
    if !check.tables(TABLE, sql) {
        return;
    }
    let columns = [&definition.key, &definition.filter, &definition.sort].into_iter().flatten();
    check.main_table(TABLE, definition.main_table(), columns, definition::RESERVED);
    check.main_key(TABLE, definition.main_table(), &definition.key);
    let sorted = definition.key.iter().chain(&definition.sort);
    check.main_order(TABLE, definition.main_table(), sorted);
    if let Some(sql) = files.get(INDEXES) {
        check.indexes(INDEXES, sql);
    }
}

fn statements(
    definition: &Definition,
    files: &BTreeMap<String, String>,
    check: &mut Check,
) -> BTreeMap<String, Statement> {
    let mut statements = BTreeMap::new();
    for event in &definition.events {
        let file = statement_file(event);
        let Some(sql) = files.get(&file) else {
            let detail = format!("the file is missing: `{event}` is listed in {DEFINITION}");
            check.faults.push(Fault::new(file, detail));
            continue;
        };
        if let Some(statement) = check.folding(&file, sql) {
            statements.insert(event.clone(), statement);
        }
    }
    statements
}

fn queries(
    definition: &Definition,
    files: &BTreeMap<String, String>,
    check: &mut Check,
) -> BTreeMap<String, Query> {
    let mut queries = BTreeMap::new();
    for (name, declared) in &definition.queries {
        let file = query_file(name);
        let Some(sql) = files.get(&file) else {
            let detail = format!("the file is missing: `{name}` is declared in {DEFINITION}");
            check.faults.push(Fault::new(file, detail));
            continue;
        };
        if let Some(statement) = check.query(&file, sql, declared.parameters().len()) {
            let query = Query {
                description: declared.description.clone(),
                parameters: declared.parameters(),
                sql: statement.text().to_owned(),
            };
            queries.insert(name.clone(), query);
        }
    }
    queries
}

/// Files that nothing refers to: most often a misspelt name.
fn unexpected(definition: &Definition, files: &BTreeMap<String, String>, faults: &mut Vec<Fault>) {
    let mut known = vec![DEFINITION.to_owned(), TABLE.to_owned(), INDEXES.to_owned()];
    known.extend(definition.events.iter().map(|event| statement_file(event)));
    known.extend(definition.queries.keys().map(|name| query_file(name)));
    for file in files.keys().filter(|file| !known.contains(file)) {
        faults.push(Fault::new(file, format!("{DEFINITION} lists nothing that this file is for")));
    }
}
