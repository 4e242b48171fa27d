//! What stands in a FROM, and which columns conditions make equal.

use std::{collections::BTreeSet, iter::once, slice};

use sqlparser::ast::{BinaryOperator, Expr, JoinConstraint, JoinOperator, TableFactor, TableWithJoins};

use super::{folded, last_name, tables::DeclaredColumn};

/// What stands in a FROM, by the name it goes by.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) name: String,
    /// The table that it is, if it is one.
    pub(super) table: Option<String>,
    pub(super) rows: Rows,
}

/// What rows a query has, as far as they are followed.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    /// Its columns in their order: the name of each that tells streams apart.
    pub(super) columns: Vec<Option<String>>,
    /// Whether it hands events on one by one.
    pub(super) singly: bool,
    /// Whether there is more to them than can be seen.
    pub(super) hidden: bool,
}

/// A column, as far as it was said whose it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) source: Option<String>,
    pub(super) name: String,
}

impl Column {
    /// Whether it may be the same: one without its table's name is of any.
    pub(super) fn is(&self, other: &Self) -> bool {
        let is_source = self.source.is_none() || other.source.is_none() || self.source == other.source;
        is_source && self.name == other.name
    }
}

/// The columns that tell streams apart, with those that are equal to one of them.
pub(super) fn identities(sources: &[Source], conditions: &[&Expr]) -> Vec<Column> {
    let own = sources.iter().flat_map(|source| {
        let named = |name: &String| Column { source: Some(source.name.clone()), name: name.clone() };
        source.rows.columns.iter().flatten().map(named)
    });
    let mut known: Vec<Column> = own.collect();
    let pairs: Vec<_> = conditions.iter().copied().flat_map(equated).collect();
    loop {
        let before = known.len();
        for (left, right) in pairs.iter().flat_map(|(left, right)| [(left, right), (right, left)]) {
            if known.iter().any(|known| known.is(left)) && !known.contains(right) {
                known.push(right.clone());
            }
        }
        if known.len() == before {
            return known;
        }
    }
}

/// The columns that a condition says are equal.
fn equated(condition: &Expr) -> Vec<(Column, Column)> {
    let pair = |left: &Expr, right: &Expr| Some((column(left)?, column(right)?));
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => match (&**left, &**right) {
            (Expr::Tuple(left), Expr::Tuple(right)) => {
                left.iter().zip(right).filter_map(|(left, right)| pair(left, right)).collect()
            }
            (left, right) => pair(left, right).into_iter().collect(),
        },
        Expr::IsNotDistinctFrom(left, right) => pair(left, right).into_iter().collect(),
        _ => vec![],
    }
}

pub(super) fn column(value: &Expr) -> Option<Column> {
    match value {
        Expr::Identifier(name) => Some(Column { source: None, name: folded(name) }),
        Expr::CompoundIdentifier(names) => match &names[..] {
            [.., source, name] => Some(Column { source: Some(folded(source)), name: folded(name) }),
            _ => None,
        },
        Expr::Cast { expr, .. } | Expr::Nested(expr) => column(expr),
        _ => None,
    }
}

/// Conditions that all hold, each without an AND.
pub(super) fn conjuncts<'a>(conditions: impl Iterator<Item = &'a Expr>) -> Vec<&'a Expr> {
    let parts = |condition: &'a Expr| match condition {
        Expr::Nested(condition) => conjuncts(once(&**condition)),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            [conjuncts(once(&**left)), conjuncts(once(&**right))].concat()
        }
        other => vec![other],
    };
    conditions.flat_map(parts).collect()
}

/// The conditions of inner joins.
pub(super) fn joined(from: &[TableWithJoins]) -> impl Iterator<Item = &Expr> {
    from.iter().flat_map(|from| &from.joins).filter_map(|join| match &join.join_operator {
        JoinOperator::Join(JoinConstraint::On(condition))
        | JoinOperator::Inner(JoinConstraint::On(condition)) => Some(condition),
        _ => None,
    })
}

/// All that stands in a FROM, side by side.
pub(super) fn factors(from: &[TableWithJoins]) -> Vec<&TableFactor> {
    let direct =
        from.iter().flat_map(|from| once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    direct.flat_map(within).collect()
}

fn within(factor: &TableFactor) -> Vec<&TableFactor> {
    match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => factors(slice::from_ref(table_with_joins)),
        other => vec![other],
    }
}

pub(super) fn name_of(factor: &TableFactor) -> String {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            folded(&alias.name)
        }
        TableFactor::Table { name, .. } => last_name(name),
        _ => String::new(),
    }
}

/// A table whose rows are looked for.
pub(super) struct Target<'a> {
    pub(super) name: String,
    pub(super) columns: &'a [DeclaredColumn],
}

impl Target<'_> {
    /// Its columns that hold what tells events apart, where all these conditions hold.
    pub(super) fn found(&self, sources: &[Source], conditions: &[&Expr]) -> BTreeSet<String> {
        let (either, all): (Vec<&Expr>, Vec<&Expr>) =
            conditions.iter().partition(|condition| is_or(condition));
        let own = identities(sources, &all).into_iter().filter(|column| match &column.source {
            Some(source) => *source == self.name,
            None => self.columns.iter().any(|own| own.name == column.name),
        });
        let mut found: BTreeSet<String> = own.map(|column| column.name).collect();
        for either in either {
            let Expr::BinaryOp { left, right, .. } = either else { continue };
            let [left, right] = [left, right].map(|side| {
                let side = conjuncts(once(&**side));
                self.found(sources, &[&all[..], &side].concat())
            });
            found.extend(left.intersection(&right).cloned());
        }
        found
    }
}

fn is_or(condition: &Expr) -> bool {
    matches!(condition, Expr::BinaryOp { op: BinaryOperator::Or, .. })
}
