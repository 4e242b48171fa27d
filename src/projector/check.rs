//! What a folder's SQL must be before any database sees it: read by a real parser, all faults at once.
//!
//! Checked here is what the database would accept, but what would break a promise later: that the same events make the same
//! rows, whenever and by whomever they are folded. The database checks the rest when the generation is made.

mod cut;
mod meetings;
mod order;
mod purity;
mod race;
mod relations;
mod singly;
mod tables;

use std::{collections::BTreeSet, slice};

use meetings::Meeting;
use purity::Purpose;
use race::Conflict;
use sqlparser::{
    ast::{
        self, Expr, MergeAction, MergeClause, ObjectName, ObjectNamePart, Select, SelectItem, SetExpr,
        TableFactor, TableObject,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};
pub(crate) use tables::DeclaredColumn;
use tables::Table;

use super::{folder::Fault, statement::Statement};

/// What tells streams apart in `events`. A key that holds one of these never meets another stream's.
const IDENTITY: [&str; 3] = ["stream_id", "position", "event_id"];

/// A folder's SQL as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Check {
    pub(super) faults: Vec<Fault>,
    /// The functions that are called, each with its file; how volatile they are is for the catalog to say.
    pub(super) functions: BTreeSet<(String, String)>,
    tables: Vec<Table>,
    inserts: Vec<Insert>,
    meetings: Vec<Meeting>,
    /// The tables that statements change, each with the statement's file.
    written: BTreeSet<(String, String)>,
}

/// A statement of `on/` that makes rows.
#[derive(Debug, Default)]
struct Insert {
    table: String,
    /// None: all of them.
    columns: Vec<String>,
    /// Which of them, by number, are filled with what tells streams apart.
    identity: Vec<usize>,
    /// Which of them differ from event to event.
    varying: Vec<usize>,
    conflict: Option<Conflict>,
}

impl Check {
    /// Reads a file of `on/`: one statement, which changes rows by nothing but events and rows.
    pub(super) fn folding(&mut self, file: &str, sql: &str) -> Option<Statement> {
        let statement = self.statement(file, sql)?;
        self.read(file, sql, Purpose::Fold);
        self.rows_are_as_before(file);
        Some(statement)
    }

    /// Reads a file of `queries/`: one statement, which only reads, with so many parameters.
    pub(super) fn query(&mut self, file: &str, sql: &str, parameters: usize) -> Option<Statement> {
        let statement = self.statement(file, sql)?;
        self.read(file, sql, Purpose::Query { parameters });
        Some(statement)
    }

    fn statement(&mut self, file: &str, sql: &str) -> Option<Statement> {
        Statement::parse(sql).map_err(|error| self.fault(file, error)).ok()
    }

    /// Reads a file; notes what is wrong with it, whatever it is for.
    fn read(&mut self, file: &str, sql: &str, purpose: Purpose) -> Option<Vec<ast::Statement>> {
        match Parser::parse_sql(&PostgreSqlDialect {}, sql) {
            Ok(statements) => {
                purity::read(self, file, purpose, &statements);
                Some(statements)
            }
            Err(error) => {
                self.fault(file, error);
                None
            }
        }
    }

    fn fault(&mut self, file: &str, detail: impl std::fmt::Display) {
        self.faults.push(Fault::new(file, detail));
    }

    /// Notes an insert that was met anywhere in a statement.
    fn insert(&mut self, file: &str, insert: &ast::Insert) {
        let TableObject::TableName(table) = &insert.table else {
            return;
        };
        let selects = insert.source.as_ref().map(|source| selects(&source.body)).unwrap_or_default();
        let is_identity = |select: &&Select, index: usize| match select.projection.get(index) {
            Some(SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }) => {
                is_identity(value)
            }
            _ => false,
        };
        let width = selects.first().map_or(0, |select| select.projection.len());
        self.inserts.push(Insert {
            table: last_name(table),
            columns: insert.columns.iter().map(last_name).collect(),
            identity: (0..width)
                .filter(|index| selects.iter().all(|select| is_identity(select, *index)))
                .collect(),
            varying: race::varying(&selects),
            conflict: Conflict::of(file, insert),
        });
    }

    /// Notes what a merge inserts: rows of which nothing is known.
    fn merge(&mut self, merge: &ast::Merge) {
        let inserts = |clause: &MergeClause| matches!(clause.action, MergeAction::Insert(_));
        if let TableFactor::Table { name, .. } = &merge.table
            && merge.clauses.iter().any(inserts)
        {
            let table = last_name(name);
            self.inserts.push(Insert { table, ..Insert::default() });
        }
    }

    /// Checks that rows of two streams never meet: streams are folded side by side, in any order.
    pub(super) fn rows_are_own(&mut self, file: &str) {
        let mut faults = Vec::new();
        for table in &self.tables {
            for key in table.unique.iter().filter(|key| !self.is_own(table, key)) {
                faults.push(format!(
                    "the unique key ({}) of `{}` holds no column that every insert fills with {}: rows of two \
                     streams could meet. Take the stream's id into the key, or say `rows = \"shared\"`",
                    key.join(", "),
                    table.name,
                    IDENTITY.join(", "),
                ));
            }
        }
        for detail in faults {
            self.fault(file, detail);
        }
        self.meetings_are_own();
    }

    /// Whether every insert fills some of these columns with what tells streams apart.
    fn is_own(&self, table: &Table, columns: &[String]) -> bool {
        let mut inserts = self.inserts.iter().filter(|insert| insert.table == table.name);
        inserts.all(|insert| insert.named(table, &insert.identity).any(|column| columns.contains(column)))
    }

    /// The columns of a table that every insert fills with what tells streams apart; none where nothing is inserted, or the
    /// table is at fault already.
    fn own_columns(&self, name: &str) -> Option<BTreeSet<String>> {
        let table = self.tables.iter().find(|table| table.name == name)?;
        let is_filled = self.inserts.iter().any(|insert| insert.table == name);
        let is_own = !table.columns.is_empty() && table.unique.iter().all(|key| self.is_own(table, key));
        let columns = table.columns.iter().map(|column| column.name.clone());
        (is_filled && is_own)
            .then(|| columns.filter(|column| self.is_own(table, slice::from_ref(column))).collect())
    }
}

impl Insert {
    /// Its columns with these numbers.
    fn named<'a>(&'a self, table: &'a Table, numbers: &'a [usize]) -> impl Iterator<Item = &'a String> {
        numbers.iter().filter_map(|index| match &self.columns[..] {
            [] => table.columns.get(*index).map(|column| &column.name),
            listed => listed.get(*index),
        })
    }
}

/// The selects that a query's rows come from.
fn selects(body: &SetExpr) -> Vec<&Select> {
    match body {
        SetExpr::Select(select) => vec![select],
        SetExpr::Query(query) => selects(&query.body),
        SetExpr::SetOperation { left, right, .. } => [selects(left), selects(right)].concat(),
        _ => Vec::new(),
    }
}

fn is_identity(value: &Expr) -> bool {
    let name = match value {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(names) => names.last(),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => return is_identity(expr),
        _ => None,
    };
    name.is_some_and(|name| IDENTITY.contains(&folded(name).as_str()))
}

/// A name as Postgres understands it.
fn folded(name: &ast::Ident) -> String {
    if name.quote_style.is_none() { name.value.to_lowercase() } else { name.value.clone() }
}

/// A name without its schema.
fn last_name(name: &ObjectName) -> String {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(last)) => folded(last),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
