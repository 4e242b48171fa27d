//! Inserts whose rows would depend on which events are folded together: a batch may end after any event.
//!
//! Looked at is what an insert makes of `events` itself, not what it makes of a subquery.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, Insert, NamedWindowDefinition, NamedWindowExpr, ObjectName,
    OnConflictAction, OnInsert, Query, Select, SelectItem, TableObject, WindowSpec, WindowType,
    visit_expressions, visit_relations,
};

use super::{
    IDENTITY, folded, last_name,
    order::{ORDERED, arms},
    relations::{Column, column, conjuncts, factors, identities, joined},
    singly::{AGGREGATES, Singly, gathers, own_calls},
    tables::Table,
};

/// Of these, what several batches give has to be put together.
const ADDING: &[&str] = &["avg", "count", "sum"];

impl Singly {
    /// What is wrong with an insert.
    pub(super) fn cut(&mut self, insert: &Insert, tables: &[Table]) -> Vec<String> {
        let Some(source) = &insert.source else { return vec![] };
        let reads_rows = self.reads_rows(source, tables);
        self.note(source);
        let faults = arms(&source.body)
            .into_iter()
            .filter_map(|select| self.fault(insert, select, reads_rows))
            .collect();
        self.forget();
        faults
    }

    fn fault(&mut self, insert: &Insert, select: &Select, reads_rows: bool) -> Option<String> {
        let sources = self.sources(factors(&select.from));
        if !sources.iter().any(|source| source.rows.singly) {
            return None;
        }
        let known = identities(&sources, &conjuncts(select.selection.iter().chain(joined(&select.from))));
        let calls = own_calls(select);
        let is_cut = |called: &Function| {
            window(select, called)
                .is_some_and(|window| !window.partition_by.iter().any(|by| is_among(by, &known)))
        };
        if !reads_rows && calls.iter().any(is_cut) {
            return Some(format!(
                "a window over `events` sees those that are folded together, and a batch may end after any: `partition by` one \
                 of {}, or count on from the rows that there are",
                IDENTITY.join(", ")
            ));
        }
        if select.projection.iter().any(|item| is_known(item, &known)) {
            return None;
        }
        let calls_one_of =
            |names: &[&str]| calls.iter().any(|called| names.contains(&last_name(&called.name).as_str()));
        let is_lumped = gathers(select) && !calls_one_of(AGGREGATES) && !calls_one_of(ORDERED);
        match &insert.on {
            Some(OnInsert::OnConflict(conflict)) => match &conflict.action {
                OnConflictAction::DoNothing if calls_one_of(ADDING) => Some(
                    "`on conflict do nothing` drops what the next batch adds to the sum: `do update` it"
                        .to_owned(),
                ),
                OnConflictAction::DoUpdate(update) if is_lumped => {
                    let mut values = update.assignments.iter().map(|assignment| &assignment.value);
                    values.any(|value| counts_on(value, &target(insert))).then(|| {
                        "it counts events that are folded together once, others each: have `group by` the key, and add \
                         `count(*)` or a sum of them"
                            .to_owned()
                    })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a query reads rows that are there already.
    fn reads_rows(&self, query: &Query, tables: &[Table]) -> bool {
        let is_row = |name: &ObjectName| {
            let name = last_name(name);
            let is_own = self
                .common(&name)
                .map_or_else(|| tables.iter().any(|table| table.name == name), |common| !common.rows.singly);
            if is_own { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        visit_relations(query, is_row).is_break()
    }
}

/// What a call is made over.
fn window<'a>(select: &'a Select, called: &'a Function) -> Option<&'a WindowSpec> {
    let name = match called.over.as_ref()? {
        WindowType::WindowSpec(window) => match &window.window_name {
            Some(name) if window.partition_by.is_empty() => name,
            _ => return Some(window),
        },
        WindowType::NamedWindow(name) => name,
    };
    select.named_window.iter().find_map(|NamedWindowDefinition(defined, window)| match window {
        NamedWindowExpr::WindowSpec(window) if folded(defined) == folded(name) => Some(window),
        _ => None,
    })
}

fn is_among(value: &Expr, known: &[Column]) -> bool {
    column(value).is_some_and(|column| known.iter().any(|known| known.is(&column)))
}

fn is_known(item: &SelectItem, known: &[Column]) -> bool {
    match item {
        SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. } => {
            is_among(value, known)
        }
        SelectItem::ExprWithAliases { .. } => false,
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => true,
    }
}

/// The name that an insert's table goes by.
fn target(insert: &Insert) -> String {
    match (&insert.table_alias, &insert.table) {
        (Some(alias), _) => folded(&alias.alias),
        (None, TableObject::TableName(name)) => last_name(name),
        _ => String::new(),
    }
}

/// Whether a value is the column of a table and something more.
fn counts_on(value: &Expr, table: &str) -> bool {
    use BinaryOperator::{Minus, Multiply, Plus, StringConcat};
    let is_own = |value: &Expr| column(value).is_some_and(|column| column.source.as_deref() == Some(table));
    let counts = visit_expressions(value, |part| match part {
        Expr::BinaryOp { left, op: Plus | Minus | Multiply | StringConcat, right }
            if is_own(left) || is_own(right) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    counts.is_break()
}
