//! `table.sql` and `indexes.sql`: tables that a generation can hold in a schema of its own, whose rows depend on events
//! alone.

use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, DataType, Expr, IndexColumn, Statement, TableConstraint,
};

use super::{Check, folded, last_name, purity::Purpose};
use crate::projector::statement::EVENTS_NAME;

/// Beginnings of types whose columns number themselves.
const SERIAL: &[&str] = &["serial", "bigserial", "smallserial"];
/// Beginnings of types that round.
const FLOAT: &[&str] = &["float", "real", "double"];

/// A table of the folder.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// The columns of each key that is unique.
    pub(super) unique: Vec<Vec<String>>,
}

impl Check {
    /// Reads `table.sql`; false where it cannot be read at all.
    pub(in crate::projector) fn tables(&mut self, file: &str, sql: &str) -> bool {
        let Some(statements) = self.read(file, sql, Purpose::Tables) else {
            return false;
        };
        for statement in statements {
            match statement {
                Statement::CreateTable(table) => self.table(file, &table),
                Statement::CreateIndex(_) => {
                    self.fault(file, "indexes stand in indexes.sql, which is run last")
                }
                _ => {}
            }
        }
        true
    }

    /// Reads `indexes.sql`, after `table.sql`.
    pub(in crate::projector) fn indexes(&mut self, file: &str, sql: &str) {
        for statement in self.read(file, sql, Purpose::Tables).unwrap_or_default() {
            match statement {
                Statement::CreateIndex(index) => {
                    let name = last_name(&index.table_name);
                    if !self.tables.iter().any(|table| table.name == name) {
                        self.fault(file, format!("there is no table `{name}` in table.sql"));
                        continue;
                    }
                    if index.unique {
                        let detail = format!(
                            "a unique index on `{name}` belongs into table.sql, as a constraint: a rebuild makes its indexes \
                             last, and would fold what the key refuses"
                        );
                        self.fault(file, detail);
                    }
                }
                Statement::CreateTable(_) => {
                    self.fault(file, "tables stand in table.sql, which is run first")
                }
                _ => {}
            }
        }
    }

    /// Checks that the main table is there, with these columns, and that none of its is in the way of a request.
    pub(in crate::projector) fn main_table<'a>(
        &mut self,
        file: &str,
        name: &str,
        columns: impl Iterator<Item = &'a String>,
        reserved: &[&str],
    ) {
        let Some(table) = self.tables.iter().find(|table| table.name == name) else {
            return self.fault(file, format!("it makes no table `{name}`, which is what the API serves"));
        };
        let is_unknown = |column: &&String| !table.columns.is_empty() && !table.columns.contains(column);
        let mut unknown: Vec<_> = columns.filter(is_unknown).collect();
        unknown.sort();
        unknown.dedup();
        let unknown = unknown.into_iter().map(|column| format!("table `{name}` has no column `{column}`"));
        let taken = table.columns.iter().filter(|column| reserved.contains(&column.as_str()));
        let taken =
            taken.map(|column| format!("column `{column}` is called like a parameter of every request"));
        for detail in unknown.chain(taken).collect::<Vec<_>>() {
            self.fault(file, detail);
        }
    }

    /// Checks that no two rows of the main table have the same key: pages and links tell rows apart by it.
    pub(in crate::projector) fn main_key(&mut self, file: &str, name: &str, key: &[String]) {
        let Some(table) = self.tables.iter().find(|table| table.name == name) else {
            return;
        };
        let is_known = key.iter().all(|column| table.columns.contains(column));
        let tells_apart = |unique: &Vec<String>| unique.iter().all(|column| key.contains(column));
        if is_known && !table.unique.iter().any(tells_apart) {
            let key = key.join(", ");
            self.fault(
                file,
                format!("`{name}` may hold two rows of one key: make ({key}) its primary key or unique"),
            );
        }
    }

    fn table(&mut self, file: &str, table: &CreateTable) {
        for detail in form(table).into_iter().chain(table.columns.iter().flat_map(column)) {
            self.fault(file, detail);
        }
        let name = last_name(&table.name);
        if self.tables.iter().any(|known| known.name == name) {
            self.fault(file, format!("table `{name}` is made twice"));
        }
        self.tables.push(Table {
            name,
            columns: table.columns.iter().map(|column| folded(&column.name)).collect(),
            unique: unique(table),
        });
    }
}

/// What is wrong with the table as a whole.
fn form(table: &CreateTable) -> Vec<String> {
    let name = &table.name;
    let mut faults = Vec::new();
    if last_name(name) == EVENTS_NAME {
        faults.push(format!("a table cannot be called `{EVENTS_NAME}`: statements read events there"));
    }
    if table.temporary || table.unlogged {
        faults.push(format!(
            "table `{name}` must outlive a crash, as its checkpoint does: no `temporary` or `unlogged`"
        ));
    }
    if table.query.is_some() || table.like.is_some() || table.inherits.is_some() {
        faults.push(format!("table `{name}` has to name its columns itself"));
    }
    faults
}

/// What is wrong with a column.
fn column(column: &ColumnDef) -> Vec<String> {
    let name = &column.name;
    let mut faults: Vec<String> =
        unfit(&column.data_type).map(|reason| format!("column `{name}`: {reason}")).into_iter().collect();
    let is_identity = |option: &ColumnOption| match option {
        ColumnOption::Identity(_) => true,
        ColumnOption::Generated { generation_expr, .. } => generation_expr.is_none(),
        _ => false,
    };
    if column.options.iter().any(|option| is_identity(&option.option)) {
        faults.push(format!(
            "column `{name}`: an identity numbers rows in the order of the fold, not of the events"
        ));
    }
    faults
}

/// Why a type must not be used.
pub(super) fn unfit(data_type: &DataType) -> Option<&'static str> {
    let name = data_type.to_string().to_lowercase();
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| name.starts_with(beginning));
    if begins(SERIAL) {
        Some("a serial numbers rows in the order of the fold, not of the events")
    } else if begins(FLOAT) {
        Some("a float rounds, and sums depend on their order: use `numeric`")
    } else if begins(&["money"]) {
        Some("`money` depends on the session's settings: use `numeric`")
    } else {
        None
    }
}

fn unique(table: &CreateTable) -> Vec<Vec<String>> {
    let own = table.columns.iter().filter(|column| {
        let is_key =
            |option: &ColumnOption| matches!(option, ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_));
        column.options.iter().any(|option| is_key(&option.option))
    });
    let own = own.map(|column| vec![folded(&column.name)]);
    let shared = table.constraints.iter().filter_map(|constraint| match constraint {
        TableConstraint::PrimaryKey(constraint) => Some(key(&constraint.columns)),
        TableConstraint::Unique(constraint) => Some(key(&constraint.columns)),
        _ => None,
    });
    own.chain(shared).collect()
}

/// The columns of a key; an expression stands for none.
fn key(columns: &[IndexColumn]) -> Vec<String> {
    let name = |column: &IndexColumn| match &column.column.expr {
        Expr::Identifier(name) => Some(folded(name)),
        _ => None,
    };
    columns.iter().filter_map(name).collect()
}
