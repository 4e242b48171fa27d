//! Rows that gather streams: what two streams put into one row must not depend on which of them comes first.

use std::collections::BTreeSet;

use sqlparser::ast::{
    self, Assignment, AssignmentTarget, ConflictTarget, OnConflictAction, OnInsert, Select, SelectItem,
};

use super::{Check, folded, relations::column, singly::is_constant, tables::Table};

/// What an insert does where a row is there already.
#[derive(Debug)]
pub(super) struct Conflict {
    file: String,
    /// The columns that it is told by; none where it does not say.
    key: Vec<String>,
    /// The columns that keep one value of several, by how it is chosen.
    keeps: Keeps,
}

#[derive(Debug)]
enum Keeps {
    /// Each the first one.
    First,
    /// These the last one.
    Last(BTreeSet<String>),
}

impl Conflict {
    /// None where an insert keeps none, or chooses it itself.
    pub(super) fn of(file: &str, insert: &ast::Insert) -> Option<Self> {
        let Some(OnInsert::OnConflict(conflict)) = &insert.on else {
            return None;
        };
        let keeps = match &conflict.action {
            OnConflictAction::DoNothing => Keeps::First,
            OnConflictAction::DoUpdate(update) if update.selection.is_none() => {
                Keeps::Last(update.assignments.iter().filter_map(taken).collect())
            }
            OnConflictAction::DoUpdate(_) => return None,
        };
        let key = match &conflict.conflict_target {
            Some(ConflictTarget::Columns(columns)) => columns.iter().map(folded).collect(),
            _ => vec![],
        };
        Some(Self { file: file.to_owned(), key, keeps })
    }

    /// The keys that rows of several streams may meet in.
    fn keys<'a>(&'a self, table: &'a Table) -> Vec<&'a Vec<String>> {
        if self.key.is_empty() { table.unique.iter().collect() } else { vec![&self.key] }
    }
}

/// The columns of an insert, by number, that differ from event to event.
pub(super) fn varying(selects: &[&Select]) -> Vec<usize> {
    let varies = |select: &Select, index: usize| match select.projection.get(index) {
        Some(SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }) => {
            !is_constant(value)
        }
        _ => false,
    };
    let width = selects.first().map_or(0, |select| select.projection.len());
    (0..width).filter(|index| selects.iter().any(|select| varies(select, *index))).collect()
}

impl Check {
    /// Checks that no row keeps the first or the last of what several streams put into it.
    pub(in crate::projector) fn rows_are_gathered(&mut self) {
        let mut faults = Vec::new();
        for insert in &self.inserts {
            let table = self.tables.iter().find(|table| table.name == insert.table);
            let (Some(conflict), Some(table)) = (&insert.conflict, table) else { continue };
            let keys = conflict.keys(table);
            if keys.iter().all(|key| self.is_own(table, key)) {
                continue;
            }
            let is_kept = |column: &&String| match &conflict.keeps {
                _ if keys.iter().any(|key| key.contains(column)) => false,
                Keeps::First => true,
                Keeps::Last(columns) => columns.contains(*column),
            };
            let kept: Vec<&str> =
                insert.named(table, &insert.varying).filter(is_kept).map(String::as_str).collect();
            if kept.is_empty() {
                continue;
            }
            let which = if matches!(conflict.keeps, Keeps::First) { "first" } else { "last" };
            let detail = format!(
                "of several streams `{}` keeps the {which} one's {}, and streams have no order among themselves: add up, take the \
                 least or greatest, compare positions (`do update … where`), or fold in the order of the whole log: `order = \
                 \"global\"`",
                table.name,
                kept.join(", "),
            );
            faults.push((conflict.file.clone(), detail));
        }
        for (file, detail) in faults {
            self.fault(&file, detail);
        }
    }
}

/// The column that is taken as it comes.
fn taken(assignment: &Assignment) -> Option<String> {
    let AssignmentTarget::ColumnName(_) = &assignment.target else {
        return None;
    };
    column(&assignment.value)
        .filter(|column| column.source.as_deref() == Some("excluded"))
        .map(|column| column.name)
}
