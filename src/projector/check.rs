//! What a folder's SQL must be before any database sees it.
//!
//! The database has the last word when the generation is made; here stands what it would let pass and what would break
//! a promise later.

use sqlparser::{
    ast::{self, ObjectNamePart},
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use super::{
    folder::Fault,
    statement::{EVENTS_NAME, Statement},
};

/// Checks `table.sql`: tables that a generation can hold in a schema of its own.
pub(super) fn tables(file: &str, sql: &str) -> Vec<Fault> {
    let statements = match Parser::parse_sql(&PostgreSqlDialect {}, sql) {
        Ok(statements) => statements,
        Err(error) => return vec![Fault::new(file, error)],
    };
    let created = statements.iter().filter_map(|statement| match statement {
        ast::Statement::CreateTable(table) => Some(&table.name),
        _ => None,
    });
    created.filter_map(|name| table_fault(file, name)).collect()
}

fn table_fault(file: &str, name: &ast::ObjectName) -> Option<Fault> {
    let [ObjectNamePart::Identifier(last)] = &name.0[..] else {
        return Some(Fault::new(
            file,
            format!("table `{name}` names a schema; each generation has one of its own"),
        ));
    };
    let reserved = last.value.eq_ignore_ascii_case(EVENTS_NAME);
    reserved.then(|| {
        Fault::new(file, format!("a table cannot be called `{EVENTS_NAME}`: statements read events there"))
    })
}

/// Checks a file of `on/`: one statement.
pub(super) fn folding(file: &str, sql: &str) -> Result<Statement, Fault> {
    Statement::parse(sql).map_err(|error| Fault::new(file, error))
}

/// Checks a file of `queries/`: one statement; that it only reads is enforced where it runs.
pub(super) fn query(file: &str, sql: &str) -> Result<Statement, Fault> {
    Statement::parse(sql).map_err(|error| Fault::new(file, error))
}
