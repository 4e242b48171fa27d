//! Updates that take values from events one by one: where several events may meet one row, Postgres applies one of them and
//! drops the others, so each has to find its row by what tells events apart.
//!
//! Where events are gathered (grouped, counted, picked by a window), that is taken to be right. Not followed are rows by `returning`,
//! columns that an alias gives other names, subqueries outside of FROM, and what a function makes several rows of.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Query, Select, SelectItem,
    SetExpr, TableAlias, TableFactor, TableWithJoins, Update, UpdateTableFromKind, Visit, Visitor,
    visit_expressions,
};

use super::{
    IDENTITY, folded, last_name,
    order::ORDERED,
    relations::{Rows, Source, Target, column, conjuncts, factors, identities, joined, name_of},
    tables::Table,
};
use crate::projector::statement::EVENTS_NAME;

/// Besides [`ORDERED`].
pub(super) const AGGREGATES: &[&str] =
    &["avg", "bit_and", "bit_or", "bool_and", "bool_or", "count", "every", "max", "min", "sum"];

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
            let rows = self.renamed(&table.query, Some(&table.alias));
            self.common.push(Source { name: folded(&table.alias.name), table: None, rows });
        }
    }

    /// Forgets those of the query that was noted last.
    pub(super) fn forget(&mut self) {
        self.common.truncate(self.before.pop().unwrap_or(0));
    }

    /// Whether each event that an update reads finds a row of its own, for all that can be seen.
    pub(super) fn finds_rows(&mut self, update: &Update, tables: &[Table]) -> bool {
        let from = from_of(update);
        let sources = self.sources(factors(from));
        let is_constant = update.assignments.iter().all(|assignment| is_constant(&assignment.value));
        if is_constant || !sources.iter().any(|source| source.rows.singly) {
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

    /// The common table expression of this name.
    pub(super) fn common(&self, name: &str) -> Option<&Source> {
        self.common.iter().rev().find(|source| source.name == name)
    }

    pub(super) fn sources<'a>(&mut self, factors: impl IntoIterator<Item = &'a TableFactor>) -> Vec<Source> {
        factors.into_iter().map(|factor| self.source(factor)).collect()
    }

    fn source(&mut self, factor: &TableFactor) -> Source {
        let mut table = None;
        let rows = match factor {
            TableFactor::Table { name, args: None, .. } => {
                let name = last_name(name);
                match self.common(&name) {
                    Some(common) => common.rows.clone(),
                    None if name == EVENTS_NAME => {
                        let columns = IDENTITY.map(|name| Some(name.to_owned()));
                        Rows { columns: columns.to_vec(), singly: true, hidden: false }
                    }
                    None => {
                        table = Some(name);
                        Rows::default()
                    }
                }
            }
            TableFactor::Derived { subquery, alias, .. } => self.renamed(subquery, alias.as_ref()),
            _ => Rows::default(),
        };
        Source { name: name_of(factor), table, rows }
    }

    /// A query's rows under an alias, which may give their columns other names.
    fn renamed(&mut self, query: &Query, alias: Option<&TableAlias>) -> Rows {
        let rows = self.query(query);
        match alias {
            Some(alias) if !alias.columns.is_empty() => Rows { hidden: true, ..Rows::default() },
            _ => rows,
        }
    }

    fn query(&mut self, query: &Query) -> Rows {
        self.note(query);
        let rows = self.body(&query.body);
        self.forget();
        let is_cut = query.limit_clause.is_some() || query.fetch.is_some();
        Rows { singly: rows.singly && !is_cut, ..rows }
    }

    fn body(&mut self, body: &SetExpr) -> Rows {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                let (left, right) = (self.body(left), self.body(right));
                // By their places; the names are those of the first.
                let both = left.columns.into_iter().zip(right.columns);
                Rows {
                    columns: both.map(|(left, right)| left.filter(|_| right.is_some())).collect(),
                    singly: left.singly || right.singly,
                    hidden: left.hidden || right.hidden,
                }
            }
            SetExpr::Values(_) => Rows::default(),
            _ => Rows { hidden: true, ..Rows::default() },
        }
    }

    fn select(&mut self, select: &Select) -> Rows {
        let sources = self.sources(factors(&select.from));
        let known = identities(&sources, &conjuncts(select.selection.iter().chain(joined(&select.from))));
        let is_known =
            |value: &Expr| column(value).is_some_and(|column| known.iter().any(|known| known.is(&column)));
        let columns = select.projection.iter().flat_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if is_known(expr) => vec![Some(folded(alias))],
            SelectItem::UnnamedExpr(expr) if is_known(expr) => {
                vec![column(expr).map(|column| column.name)]
            }
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                known.iter().map(|column| Some(column.name.clone())).collect()
            }
            _ => vec![None],
        });
        Rows {
            columns: columns.collect(),
            singly: sources.iter().any(|source| source.rows.singly) && !gathers(select),
            hidden: sources.iter().any(|source| source.rows.hidden),
        }
    }
}

/// What an update reads.
pub(super) fn from_of(update: &Update) -> &[TableWithJoins] {
    match &update.from {
        Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => from,
        None => &[],
    }
}

/// Whether a value is the same whatever rows there are, for all that can be seen.
pub(super) fn is_constant(value: &Expr) -> bool {
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

/// Whether a select makes fewer rows of those it reads, or picks some by a window.
pub(super) fn gathers(select: &Select) -> bool {
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
