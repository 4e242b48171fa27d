//! Updates that take values from events one by one: where several events may meet one row, Postgres applies one of them and
//! drops the others, so each has to find its row by what tells events apart.
//!
//! Where events are gathered (grouped, counted, picked by a window), that is taken to be right. Not followed are rows by `returning`,
//! columns that an alias gives other names, subqueries outside of FROM, and what a function makes several rows of.

use std::{collections::BTreeSet, iter::once, ops::ControlFlow};

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins, Update,
    UpdateTableFromKind, Visit, Visitor, visit_expressions,
};

use super::{
    IDENTITY, folded, last_name,
    order::ORDERED,
    tables::{DeclaredColumn, Table},
};
use crate::projector::statement::EVENTS_NAME;

/// Besides [`ORDERED`].
const AGGREGATES: &[&str] =
    &["avg", "bit_and", "bit_or", "bool_and", "bool_or", "count", "every", "max", "min", "sum"];

/// What stands in a FROM: the name it goes by, and, where it hands events on one by one, those of its columns that tell them
/// apart.
#[derive(Debug, Clone, Default)]
struct Source {
    name: String,
    singly: Option<Vec<String>>,
}

/// A column, as far as it was said whose it is.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    source: Option<String>,
    name: String,
}

/// The columns of a query in their order: the name of each that tells events apart.
type Columns = Vec<Option<String>>;

fn named(columns: Columns) -> Vec<String> {
    columns.into_iter().flatten().collect()
}

/// The common table expressions that can be seen.
#[derive(Default)]
pub(super) struct Singly {
    common: Vec<Source>,
    /// How many there were before each query that is being read.
    before: Vec<usize>,
}

impl Singly {
    /// Notes those of a query, until it is forgotten.
    pub(super) fn note(&mut self, query: &Query) {
        self.before.push(self.common.len());
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            let singly = if table.alias.columns.is_empty() { self.query(&table.query) } else { None };
            let singly = singly.map(named);
            self.common.push(Source { name: folded(&table.alias.name), singly });
        }
    }

    /// Forgets those of the query that was noted last.
    pub(super) fn forget(&mut self) {
        self.common.truncate(self.before.pop().unwrap_or(0));
    }

    /// Whether each event that an update reads finds a row of its own, for all that can be seen.
    pub(super) fn finds_rows(&mut self, update: &Update, tables: &[Table]) -> bool {
        let from = match &update.from {
            Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => &from[..],
            None => &[],
        };
        let sources = self.sources(from);
        let is_constant = update.assignments.iter().all(|assignment| is_constant(&assignment.value));
        if is_constant || sources.iter().all(|source| source.singly.is_none()) {
            return true;
        }
        let TableFactor::Table { name, .. } = &update.table.relation else {
            return true;
        };
        let columns =
            tables.iter().find(|table| table.name == last_name(name)).map(|table| &table.columns[..]);
        let table = Target { name: name_of(&update.table.relation), columns: columns.unwrap_or_default() };
        !table.found(&sources, &conjuncts(update.selection.iter().chain(joined(from)))).is_empty()
    }

    fn sources(&mut self, from: &[TableWithJoins]) -> Vec<Source> {
        let factors = from.iter().flat_map(factors);
        factors.map(|factor| Source { name: name_of(factor), singly: self.singly(factor) }).collect()
    }

    fn singly(&mut self, factor: &TableFactor) -> Option<Vec<String>> {
        match factor {
            TableFactor::Table { name, args: None, .. } => {
                let name = last_name(name);
                let common = self.common.iter().rev().find(|source| source.name == name);
                match common {
                    Some(common) => common.singly.clone(),
                    None if name == EVENTS_NAME => Some(IDENTITY.map(str::to_owned).to_vec()),
                    None => None,
                }
            }
            TableFactor::Derived { subquery, alias, .. }
                if alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) =>
            {
                self.query(subquery).map(named)
            }
            _ => None,
        }
    }

    /// A query's columns, if it hands events on one by one.
    fn query(&mut self, query: &Query) -> Option<Columns> {
        if query.limit_clause.is_some() || query.fetch.is_some() {
            return None;
        }
        self.note(query);
        let singly = self.body(&query.body);
        self.forget();
        singly
    }

    fn body(&mut self, body: &SetExpr) -> Option<Columns> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => match (self.body(left), self.body(right)) {
                // By their places; the names are those of the first.
                (Some(left), Some(right)) => Some(
                    left.into_iter()
                        .zip(right)
                        .map(|(left, right)| left.filter(|_| right.is_some()))
                        .collect(),
                ),
                (left, right) => left.or(right),
            },
            _ => None,
        }
    }

    fn select(&mut self, select: &Select) -> Option<Columns> {
        let sources = self.sources(&select.from);
        if gathers(select) || sources.iter().all(|source| source.singly.is_none()) {
            return None;
        }
        let known = identities(&sources, &conjuncts(select.selection.iter().chain(joined(&select.from))));
        let is_known =
            |value: &Expr| column(value).is_some_and(|column| known.iter().any(|known| known.is(&column)));
        let names = select.projection.iter().flat_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if is_known(expr) => vec![Some(folded(alias))],
            SelectItem::UnnamedExpr(expr) if is_known(expr) => {
                vec![column(expr).map(|column| column.name)]
            }
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                known.iter().map(|column| Some(column.name.clone())).collect()
            }
            _ => vec![None],
        });
        Some(names.collect())
    }
}

impl Column {
    /// Whether it may be the same: one without its table's name is of any.
    fn is(&self, other: &Self) -> bool {
        let is_source = self.source.is_none() || other.source.is_none() || self.source == other.source;
        is_source && self.name == other.name
    }
}

/// The table that is updated.
struct Target<'a> {
    name: String,
    columns: &'a [DeclaredColumn],
}

impl Target<'_> {
    /// Its columns that hold what tells events apart, where all these conditions hold.
    fn found(&self, sources: &[Source], conditions: &[&Expr]) -> BTreeSet<String> {
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

/// Whether a value is the same whatever rows there are, for all that can be seen.
fn is_constant(value: &Expr) -> bool {
    let is_whole_row = |argument: &FunctionArg| {
        matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(_)))
    };
    let reads = visit_expressions(value, |part| match part {
        Expr::Function(Function { args: FunctionArguments::List(list), .. })
            if list.args.iter().any(is_whole_row) =>
        {
            ControlFlow::Break(())
        }
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) | Expr::Exists { .. } => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    reads.is_continue()
}

/// The columns that tell events apart, with those that are equal to one of them.
fn identities(sources: &[Source], conditions: &[&Expr]) -> Vec<Column> {
    let own = sources.iter().flat_map(|source| {
        let names = source.singly.iter().flatten();
        names.map(|name| Column { source: Some(source.name.clone()), name: name.clone() })
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

fn column(value: &Expr) -> Option<Column> {
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
fn conjuncts<'a>(conditions: impl Iterator<Item = &'a Expr>) -> Vec<&'a Expr> {
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
fn joined(from: &[TableWithJoins]) -> impl Iterator<Item = &Expr> {
    from.iter().flat_map(|from| &from.joins).filter_map(|join| match &join.join_operator {
        JoinOperator::Join(JoinConstraint::On(condition))
        | JoinOperator::Inner(JoinConstraint::On(condition)) => Some(condition),
        _ => None,
    })
}

fn factors(from: &TableWithJoins) -> Vec<&TableFactor> {
    let direct = once(&from.relation).chain(from.joins.iter().map(|join| &join.relation));
    direct.flat_map(within).collect()
}

fn within(factor: &TableFactor) -> Vec<&TableFactor> {
    match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => factors(table_with_joins),
        other => vec![other],
    }
}

fn name_of(factor: &TableFactor) -> String {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            folded(&alias.name)
        }
        TableFactor::Table { name, .. } => last_name(name),
        _ => String::new(),
    }
}

/// Whether a select makes fewer rows of those it reads, or picks some by a window.
fn gathers(select: &Select) -> bool {
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let is_gathering = |called: &Function| {
        let name = last_name(&called.name);
        called.over.is_some() || AGGREGATES.iter().chain(ORDERED).any(|aggregate| *aggregate == name)
    };
    is_grouped
        || select.distinct.is_some()
        || select.having.is_some()
        || own_calls(select).iter().any(is_gathering)
}

/// What a select calls itself, its subqueries left out.
pub(super) fn own_calls(select: &Select) -> Vec<Function> {
    #[derive(Default)]
    struct Calls {
        depth: usize,
        found: Vec<Function>,
    }
    impl Visitor for Calls {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, value: &Expr) -> ControlFlow<()> {
            if let (0, Expr::Function(called)) = (self.depth, value) {
                self.found.push(called.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut calls = Calls::default();
    let _ = select.visit(&mut calls);
    calls.found
}
