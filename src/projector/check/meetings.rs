//! Which rows of the folder's tables events meet: by what tells streams apart, or by something that other streams share.
//!
//! Not followed are rows by `returning`, columns that an alias gives other names, `using` and subqueries outside of FROM: what
//! cannot be seen is taken to be right.

use std::{collections::BTreeSet, iter::once, ops::ControlFlow};

use sqlparser::ast::{
    Delete, Expr, FromTable, FunctionArguments, JoinConstraint, JoinOperator, Merge, Query, Select,
    Statement, TableFactor, TableObject, TableWithJoins, Update, visit_expressions,
};

use super::{
    Check, IDENTITY, last_name,
    order::arms,
    relations::{Source, Target, column, conjuncts, factors},
    singly::{Singly, from_of, gathers},
    tables::Table,
};

/// A table whose rows a statement of `on/` looks for.
#[derive(Debug)]
pub(super) struct Meeting {
    pub(super) file: String,
    table: String,
    /// Its columns that are compared with what tells streams apart.
    found: BTreeSet<String>,
    manner: Manner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// They are changed.
    Changed,
    /// They are read for each event.
    ReadSingly,
    /// They are read for what is made of events.
    Read,
}

/// A statement's part that looks for rows.
#[derive(Default)]
struct Search<'a> {
    target: Option<&'a TableFactor>,
    from: Vec<&'a TableFactor>,
    conditions: Vec<&'a Expr>,
    /// Whether events are gathered first.
    gathers: bool,
}

impl Check {
    /// Notes what a statement changes, and by what it finds it.
    pub(super) fn meet(&mut self, file: &str, singly: &mut Singly, statement: &Statement) {
        let tables = &self.tables;
        let (changed, met) = match statement {
            Statement::Insert(insert) => match &insert.table {
                TableObject::TableName(name) => (last_name(name), vec![]),
                _ => return,
            },
            Statement::Update(update) => (table_of(&update.table.relation), singly.of_update(update, tables)),
            Statement::Delete(delete) => {
                (target_of(delete).map(table_of).unwrap_or_default(), singly.of_delete(delete, tables))
            }
            Statement::Merge(merge) => (table_of(&merge.table), singly.of_merge(merge, tables)),
            _ => return,
        };
        self.written.insert((file.to_owned(), changed));
        self.meetings.extend(met.into_iter().map(|met| Meeting { file: file.to_owned(), ..met }));
    }

    /// Notes by what a query finds rows.
    pub(super) fn meet_in(&mut self, file: &str, singly: &mut Singly, query: &Query) {
        let met = arms(&query.body).into_iter().flat_map(|select| singly.of_select(select, &self.tables));
        self.meetings.extend(met.map(|met| Meeting { file: file.to_owned(), ..met }));
    }
}

impl Singly {
    fn of_select(&mut self, select: &Select, tables: &[Table]) -> Vec<Meeting> {
        let search = Search { gathers: gathers(select), ..Search::default() };
        self.among(search, &select.from, select.selection.as_ref(), tables)
    }

    fn of_update(&mut self, update: &Update, tables: &[Table]) -> Vec<Meeting> {
        let search = Search { target: Some(&update.table.relation), ..Search::default() };
        self.among(search, from_of(update), update.selection.as_ref(), tables)
    }

    fn of_delete(&mut self, delete: &Delete, tables: &[Table]) -> Vec<Meeting> {
        let search = Search { target: target_of(delete), ..Search::default() };
        let using = delete.using.as_deref().unwrap_or_default();
        self.among(search, using, delete.selection.as_ref(), tables)
    }

    fn of_merge(&mut self, merge: &Merge, tables: &[Table]) -> Vec<Meeting> {
        let conditions = conjuncts(once(&*merge.on));
        let search =
            Search { target: Some(&merge.table), from: vec![&merge.source], conditions, gathers: false };
        self.meetings(&search, tables)
    }

    fn among<'a>(
        &mut self,
        search: Search<'a>,
        from: &'a [TableWithJoins],
        selection: Option<&'a Expr>,
        tables: &[Table],
    ) -> Vec<Meeting> {
        let Some(joined) = conditions(from) else { return vec![] };
        let conditions = conjuncts(selection.into_iter().chain(joined));
        self.meetings(&Search { from: factors(from), conditions, ..search }, tables)
    }

    fn meetings(&mut self, search: &Search<'_>, tables: &[Table]) -> Vec<Meeting> {
        let sources = self.sources(search.from.iter().copied());
        let is_hidden = sources.iter().any(|source| source.rows.hidden);
        if is_hidden || search.conditions.iter().any(|condition| asks_a_query(condition)) {
            return vec![];
        }
        let has_events =
            |source: &Source| source.rows.singly || source.rows.columns.iter().any(Option::is_some);
        let read = sources.iter().filter(|_| sources.iter().any(has_events));
        let is_singly = !search.gathers && sources.iter().any(|source| source.rows.singly);
        let read = read.filter_map(|source| {
            let is_singly = is_singly && !is_absent(source, &search.conditions);
            let manner = if is_singly { Manner::ReadSingly } else { Manner::Read };
            Some((source.name.clone(), source.table.clone()?, manner))
        });
        let targets = self.sources(search.target);
        let changed =
            targets.into_iter().filter_map(|target| Some((target.name, target.table?, Manner::Changed)));
        let meeting = |(name, table, manner): (String, String, Manner)| {
            let columns = &tables.iter().find(|known| known.name == table)?.columns[..];
            let found = Target { name, columns }.found(&sources, &search.conditions);
            Some(Meeting { file: String::new(), table, found, manner })
        };
        read.chain(changed).filter_map(meeting).collect()
    }
}

impl Check {
    /// Checks that no event reads, from a table that its own statement writes, rows that it shares with other events.
    pub(super) fn rows_are_as_before(&mut self, file: &str) {
        let written = &self.written;
        let is_cut = |meeting: &&Meeting| {
            meeting.file == file
                && meeting.manner == Manner::ReadSingly
                && meeting.found.is_empty()
                && written.contains(&(file.to_owned(), meeting.table.clone()))
        };
        let tables: BTreeSet<String> =
            self.meetings.iter().filter(is_cut).map(|meeting| meeting.table.clone()).collect();
        self.meetings.retain(|meeting| !is_cut(&meeting));
        for table in tables {
            self.fault(
                file,
                format!(
                    "it reads `{table}` for each event, and writes it: what an event finds depends on which events come \
                     together with it. Find the rows by {}, or put the events in between into the sum: `sum(…) over \
                     (partition by … order by position)`",
                    IDENTITY.join(", "),
                ),
            );
        }
    }

    /// Checks that no stream's events meet the rows of another stream, which are made and changed side by side with them.
    pub(super) fn meetings_are_own(&mut self) {
        let mut faults = Vec::new();
        for Meeting { file, table, found, manner } in &self.meetings {
            let own = self.own_columns(table);
            if own.is_some_and(|own| found.is_disjoint(&own)) {
                let done = if *manner == Manner::Changed { "changes" } else { "reads" };
                faults.push((
                    file.clone(),
                    format!(
                        "it {done} rows of `{table}` and finds them by no column that every insert fills with {}: they may be \
                         another stream's, which comes before or after. Find them by such a column, or fold in the order of \
                         the whole log: `order = \"global\"`",
                        IDENTITY.join(", "),
                    ),
                ));
            }
        }
        faults.dedup();
        for (file, detail) in faults {
            self.fault(&file, detail);
        }
    }
}

fn target_of(delete: &Delete) -> Option<&TableFactor> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    from.first().map(|from| &from.relation)
}

fn table_of(factor: &TableFactor) -> String {
    match factor {
        TableFactor::Table { name, .. } => last_name(name),
        _ => String::new(),
    }
}

/// Whether a condition holds a query, which may find rows by anything.
fn asks_a_query(condition: &Expr) -> bool {
    let asks = visit_expressions(condition, |part| match part {
        Expr::InSubquery { .. } | Expr::Exists { .. } | Expr::Subquery(_) => ControlFlow::Break(()),
        Expr::Function(called) if matches!(called.args, FunctionArguments::Subquery(_)) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    asks.is_break()
}

/// Whether rows are asked for that are not there.
fn is_absent(source: &Source, conditions: &[&Expr]) -> bool {
    conditions.iter().any(|condition| match condition {
        Expr::IsNull(value) => {
            column(value).is_some_and(|column| column.source.as_ref() == Some(&source.name))
        }
        _ => false,
    })
}

/// The conditions of all joins, outer ones too; none where one is not spelt out.
fn conditions(from: &[TableWithJoins]) -> Option<Vec<&Expr>> {
    let mut conditions = Vec::new();
    for from in from {
        if matches!(from.relation, TableFactor::NestedJoin { .. }) {
            return None;
        }
        for join in &from.joins {
            match &join.join_operator {
                JoinOperator::Join(JoinConstraint::On(condition))
                | JoinOperator::Inner(JoinConstraint::On(condition))
                | JoinOperator::Left(JoinConstraint::On(condition))
                | JoinOperator::LeftOuter(JoinConstraint::On(condition))
                | JoinOperator::Right(JoinConstraint::On(condition))
                | JoinOperator::RightOuter(JoinConstraint::On(condition))
                | JoinOperator::FullOuter(JoinConstraint::On(condition)) => conditions.push(condition),
                JoinOperator::CrossJoin(_) => {}
                _ => return None,
            }
        }
    }
    Some(conditions)
}
