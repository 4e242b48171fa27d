//! Updates that take values from events one by one: where several events may meet one row, Postgres applies one of them and
//! drops the others, so each has to find its row by what tells events apart.

use std::{iter::once, ops::ControlFlow};

use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Query, Select, SelectItem, TableFactor, TableWithJoins, Update,
    UpdateTableFromKind, visit_expressions,
};

use super::{folded, is_identity, last_name, purity::ORDERED, selects};
use crate::projector::statement::EVENTS_NAME;

/// Besides [`ORDERED`].
const AGGREGATES: &[&str] =
    &["avg", "bit_and", "bit_or", "bool_and", "bool_or", "count", "every", "max", "min", "sum"];

/// What hands events on one by one, as far as a statement was read.
#[derive(Default)]
pub(super) struct Singly {
    /// Common table expressions that do.
    names: Vec<String>,
    /// Other names of what tells events apart.
    identities: Vec<String>,
}

impl Singly {
    /// Notes the common table expressions of a query.
    pub(super) fn note(&mut self, query: &Query) {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            if table.alias.columns.is_empty() && self.query(&table.query) {
                self.names.push(folded(&table.alias.name));
            }
        }
    }

    /// Whether each event that an update reads finds a row of its own, for all that can be seen.
    pub(super) fn finds_rows(&mut self, update: &Update) -> bool {
        let from = match &update.from {
            Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => &from[..],
            None => &[],
        };
        let table = match &update.table.relation {
            TableFactor::Table { alias: Some(alias), .. } => folded(&alias.name),
            TableFactor::Table { name, .. } => last_name(name),
            _ => return true,
        };
        let sources: Vec<_> = from.iter().flat_map(sources).collect();
        let reads_events = sources.into_iter().filter(|source| self.source(source)).count() > 0;
        !reads_events || update.selection.as_ref().is_some_and(|condition| self.equates(condition, &table))
    }

    fn source(&mut self, source: &TableFactor) -> bool {
        match source {
            TableFactor::Table { name, .. } => {
                let name = last_name(name);
                name == EVENTS_NAME || self.names.contains(&name)
            }
            TableFactor::Derived { subquery, alias, .. } => {
                alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) && self.query(subquery)
            }
            _ => false,
        }
    }

    fn query(&mut self, query: &Query) -> bool {
        self.note(query);
        selects(&query.body).into_iter().filter(|select| self.select(select)).count() > 0
    }

    /// What reads other tables too may find its rows in there.
    fn select(&mut self, select: &Select) -> bool {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { expr, alias } = item
                && self.is_identity(expr)
            {
                self.identities.push(folded(alias));
            }
        }
        let sources: Vec<_> = select.from.iter().flat_map(sources).collect();
        matches!(sources[..], [source] if self.source(source)) && !gathers(select)
    }

    /// Whether a condition holds only where a column of this table is what tells an event apart.
    fn equates(&self, condition: &Expr, table: &str) -> bool {
        match condition {
            Expr::Nested(condition) => self.equates(condition, table),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.equates(left, table) || self.equates(right, table)
            }
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
                self.equates(left, table) && self.equates(right, table)
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => match (&**left, &**right) {
                (Expr::Tuple(left), Expr::Tuple(right)) => {
                    left.iter().zip(right).any(|(left, right)| self.are_equated(left, right, table))
                }
                (left, right) => self.are_equated(left, right, table),
            },
            Expr::IsNotDistinctFrom(left, right) => self.are_equated(left, right, table),
            _ => false,
        }
    }

    fn are_equated(&self, left: &Expr, right: &Expr, table: &str) -> bool {
        self.is_identity(left) && is_of(right, table) || self.is_identity(right) && is_of(left, table)
    }

    fn is_identity(&self, value: &Expr) -> bool {
        is_identity(value, |name| self.identities.iter().any(|identity| identity == name))
    }
}

fn sources(from: &TableWithJoins) -> impl Iterator<Item = &TableFactor> {
    once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
}

/// Whether a select makes fewer rows of those it reads, or picks some by a window.
fn gathers(select: &Select) -> bool {
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let calls = visit_expressions(&select.projection, |value| match value {
        Expr::Function(called) if called.over.is_some() => ControlFlow::Break(()),
        Expr::Function(called) => {
            let name = last_name(&called.name);
            let is_aggregate = AGGREGATES.iter().chain(ORDERED).any(|aggregate| *aggregate == name);
            if is_aggregate { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    });
    is_grouped || select.distinct.is_some() || select.having.is_some() || calls.is_break()
}

/// Whether a value is a column of this table, for all that can be seen.
fn is_of(value: &Expr, table: &str) -> bool {
    match value {
        Expr::Identifier(_) => true,
        Expr::CompoundIdentifier(names) => names.first().is_some_and(|name| folded(name) == table),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => is_of(expr, table),
        _ => false,
    }
}
