//! `table.sql` and `indexes.sql`: tables that a generation can hold in a schema of its own, whose rows depend on events
//! alone.

use std::collections::BTreeSet;

use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, DataType, Expr, IndexColumn, Statement, TableConstraint,
    TimezoneInfo,
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
    pub(super) columns: Vec<DeclaredColumn>,
    /// The columns of each key that is unique.
    pub(super) unique: Vec<Vec<String>>,
}

impl Table {
    fn column(&self, name: &str) -> Option<&DeclaredColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A column as `table.sql` declares it.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredColumn {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
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
                    if index.concurrently {
                        self.fault(file, "indexes are made within a transaction: leave `concurrently` out");
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
        let is_unknown = |column: &&String| !table.columns.is_empty() && table.column(column).is_none();
        let mut unknown: Vec<_> = columns.filter(is_unknown).collect();
        unknown.sort();
        unknown.dedup();
        let unknown = unknown.into_iter().map(|column| format!("table `{name}` has no column `{column}`"));
        let taken = table.columns.iter().map(|column| &column.name);
        let taken = taken.filter(|column| reserved.contains(&column.as_str()));
        let taken =
            taken.map(|column| format!("column `{column}` is called like a parameter of every request"));
        let zoneless = table.columns.iter().filter(|column| {
            matches!(
                column.data_type,
                DataType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
            )
        });
        let zoneless = zoneless.map(|column| {
            format!(
                "column `{}`: a `timestamp` has no zone, and requests would get no time of RFC 3339: use `timestamptz`",
                column.name
            )
        });
        for detail in unknown.chain(taken).chain(zoneless).collect::<Vec<_>>() {
            self.fault(file, detail);
        }
    }

    /// Checks that no two rows of the main table have the same key: pages and links tell rows apart by it.
    pub(in crate::projector) fn main_key(&mut self, file: &str, name: &str, key: &[String]) {
        let Some(table) = self.tables.iter().find(|table| table.name == name) else {
            return;
        };
        let is_known = key.iter().all(|column| table.column(column).is_some());
        let tells_apart = |unique: &Vec<String>| unique.iter().all(|column| key.contains(column));
        if is_known && !table.unique.iter().any(tells_apart) {
            let key = key.join(", ");
            self.fault(
                file,
                format!("`{name}` may hold two rows of one key: make ({key}) its primary key or unique"),
            );
        }
    }

    /// Checks that what rows are sorted by is never null: pages would lose rows.
    pub(in crate::projector) fn main_order<'a>(
        &mut self,
        file: &str,
        name: &str,
        columns: impl Iterator<Item = &'a String>,
    ) {
        let declared = self.main_columns(name);
        let nullable = |column: &&String| declared.iter().any(|own| own.name == **column && own.nullable);
        let nullable: BTreeSet<_> = columns.filter(nullable).collect();
        for column in nullable {
            self.fault(file, format!("`{column}` is sorted by and must be `not null`"));
        }
    }

    /// The columns of a table; none where the folder makes no such table.
    pub(in crate::projector) fn main_columns(&self, name: &str) -> Vec<DeclaredColumn> {
        let table = self.tables.iter().find(|table| table.name == name);
        table.map(|table| table.columns.clone()).unwrap_or_default()
    }

    fn table(&mut self, file: &str, table: &CreateTable) {
        for detail in form(table).into_iter().chain(table.columns.iter().flat_map(column)) {
            self.fault(file, detail);
        }
        let name = last_name(&table.name);
        if self.tables.iter().any(|known| known.name == name) {
            self.fault(file, format!("table `{name}` is made twice"));
        }
        let primary = primary_key(table);
        let declared = |column: &ColumnDef| {
            let name = folded(&column.name);
            let is_required =
                |option: &ColumnOption| matches!(option, ColumnOption::NotNull | ColumnOption::PrimaryKey(_));
            let is_required = column.options.iter().any(|option| is_required(&option.option));
            let nullable = !is_required && !primary.contains(&name);
            DeclaredColumn { name, data_type: column.data_type.clone(), nullable }
        };
        self.tables.push(Table {
            name,
            columns: table.columns.iter().map(declared).collect(),
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
    let text = data_type.to_string().to_lowercase().replace('"', "");
    let name = text.strip_prefix("pg_catalog.").unwrap_or(&text);
    let has_zone = matches!(data_type, DataType::Time(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz));
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| name.starts_with(beginning));
    if begins(SERIAL) {
        Some("a serial numbers rows in the order of the fold, not of the events")
    } else if begins(FLOAT) {
        Some("a float rounds, and sums depend on their order: use `numeric`")
    } else if has_zone || begins(&["timetz"]) {
        Some("a time with a zone takes its offset from the present day: use `timestamptz`")
    } else if name.split(['(', '[', ' ']).next().is_some_and(|name| name.contains('.')) {
        Some("a type of another schema may depend on anything: use one of Postgres' own")
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

/// The columns of a primary key that is declared beside them.
fn primary_key(table: &CreateTable) -> Vec<String> {
    let primary = table.constraints.iter().find_map(|constraint| match constraint {
        TableConstraint::PrimaryKey(constraint) => Some(key(&constraint.columns)),
        _ => None,
    });
    primary.unwrap_or_default()
}

/// The columns of a key; an expression stands for none.
fn key(columns: &[IndexColumn]) -> Vec<String> {
    let name = |column: &IndexColumn| match &column.column.expr {
        Expr::Identifier(name) => Some(folded(name)),
        _ => None,
    };
    columns.iter().filter_map(name).collect()
}
