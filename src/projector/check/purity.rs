//! What statements call: nothing that depends on the clock, on chance, on the session or on its settings.
//!
//! The names are a written list, because Postgres calls most of them only STABLE. That nothing else is VOLATILE is for
//! the catalog to say.

use std::{ops::ControlFlow, ptr};

use sqlparser::{
    ast::{
        self, BinaryOperator, DataType, Expr, FunctionArguments, Ident, LockClause, NonBlock, ObjectName,
        ObjectNamePart, Query, Statement, TableFactor, Update, Value, ValueWithSpan, Visit, Visitor,
    },
    tokenizer::Span,
};

use super::{Check, IDENTITY, folded, last_name, order, singly::Singly, tables};

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `table.sql` and `indexes.sql`.
    Tables,
    /// `on/`: changes rows.
    Fold,
    /// `queries/`: reads them, with so many parameters. What it answers may depend on the clock.
    Query { parameters: usize },
}

impl Purpose {
    /// Whether the same events have to lead to the same, each time.
    fn is_repeated(self) -> bool {
        !matches!(self, Self::Query { .. })
    }
}

const CLOCK: &[&str] = &[
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "timeofday",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
];
const CHANCE: &[&str] = &[
    "random",
    "random_normal",
    "setseed",
    "gen_random_uuid",
    "gen_random_bytes",
    "uuidv4",
    "uuidv7",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "any_value",
];
const SESSION: &[&str] = &[
    "current_user",
    "session_user",
    "system_user",
    "user",
    "current_role",
    "getpgusername",
    "current_catalog",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_query",
    "row_security_active",
    "version",
    "nextval",
    "currval",
    "lastval",
    "setval",
];
/// Beginnings of names that tell of the session or of the server.
const SESSION_PREFIXES: &[&str] = &["pg_", "has_", "txid_", "inet_client_", "inet_server_", "lo_", "dblink"];
const SETTINGS: &[&str] = &["current_setting", "set_config", "get_current_ts_config"];
/// With one argument these take the configuration from the settings.
const TEXT_SEARCH: &[&str] =
    &["to_tsvector", "to_tsquery", "plainto_tsquery", "phraseto_tsquery", "websearch_to_tsquery"];
/// Words that become the present time where a date is meant.
const PRESENT: &[&str] = &["now", "today", "tomorrow", "yesterday"];
/// Words that may stand beside them there: a time of the day, a day of the week, a time zone.
const BESIDE_PRESENT: &str = "at on t am pm ad bc mon monday tue tues tuesday wed weds wednesday thu thur thurs thursday \
                              fri friday sat saturday sun sunday z zulu utc uct ut gmt dst wet west cet cest eet eest \
                              msk bst ist est edt cst cdt mst mdt pst pdt jst kst hkt aest aedt nzst nzdt";
/// These are called without parentheses, and the parser takes them for columns.
const BARE: &[&str] = &["current_role", "current_schema", "system_user"];
/// These too may stand without parentheses where a table stands; no table and no common table expression has such a name.
const BARE_IN_FROM: &[&str] = &[
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "current_user",
    "session_user",
    "user",
    "current_role",
    "current_catalog",
    "current_schema",
    "system_user",
];
/// Columns that every table has, of where its rows lie.
const SYSTEM_COLUMNS: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// Reads statements and notes in `check` what they call and what is wrong with them.
pub(super) fn read(check: &mut Check, file: &str, purpose: Purpose, statements: &[Statement]) {
    let mut reading = Reading {
        check,
        file,
        purpose,
        members: Vec::new(),
        common: Vec::new(),
        singly: Singly::default(),
        asking: Vec::new(),
    };
    for statement in statements {
        let _ = statement.visit(&mut reading);
    }
}

struct Reading<'a> {
    check: &'a mut Check,
    file: &'a str,
    purpose: Purpose,
    /// Names of members of JSON, by where they stand: texts that mean nothing else.
    members: Vec<Span>,
    /// Names that queries give to others before they use them.
    common: Vec<String>,
    singly: Singly,
    /// Subqueries of `exists`.
    asking: Vec<*const Query>,
}

impl Reading<'_> {
    fn fault(&mut self, detail: String) {
        let known = self.check.faults.iter().any(|fault| fault.file == self.file && fault.detail == detail);
        if !known {
            self.check.fault(self.file, detail);
        }
    }

    /// Looks at a call; `arguments`: how many it has.
    fn call(&mut self, name: &ObjectName, arguments: usize) {
        let (called, schema) = (last_name(name), name.0.len() > 1);
        if schema && !name.to_string().to_lowercase().starts_with("pg_catalog.") {
            self.fault(format!("`{name}` names a schema; only what every Postgres has may be called"));
        }
        if self.purpose.is_repeated()
            && let Some(cause) = depends_on(&called, arguments)
        {
            self.fault(format!(
                "`{called}` depends on {cause}: another fold of the same events would differ"
            ));
        }
        // A query may tell what the clock and chance say, and do nothing else.
        let is_volatile = CLOCK.contains(&called.as_str()) || CHANCE.contains(&called.as_str());
        if self.purpose.is_repeated() || !is_volatile {
            self.check.functions.insert((self.file.to_owned(), called));
        }
    }
}

/// What the outcome of a function depends on beside its arguments.
fn depends_on(name: &str, arguments: usize) -> Option<&'static str> {
    match name {
        "age" if arguments == 1 => Some("the clock"),
        _ if CLOCK.contains(&name) => Some("the clock"),
        _ if CHANCE.contains(&name) => Some("chance"),
        _ if SETTINGS.contains(&name) => Some("the session's settings"),
        _ if TEXT_SEARCH.contains(&name) && arguments == 1 => Some("the session's settings"),
        _ if SESSION.contains(&name) => Some("the session"),
        _ if SESSION_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) => {
            Some("the session or the server")
        }
        _ => None,
    }
}

/// Whether Postgres may read a text as a time that depends on the present one, in an array or a range too.
fn is_of_the_present(text: &str) -> bool {
    let text = text.to_lowercase();
    // What holds a slash is a time zone, such as Europe/Berlin; `%` and `_` make a pattern for LIKE.
    let parts = text.split_whitespace().filter(|part| !part.contains('/'));
    let is_between = |c: char| c.is_ascii_digit() || c.is_ascii_punctuation() && !matches!(c, '%' | '_');
    let words: Vec<&str> =
        parts.flat_map(|part| part.split(is_between)).filter(|word| !word.is_empty()).collect();
    let is_present = |word: &&str| PRESENT.contains(word);
    let mut others = words.iter().filter(|word| !is_present(word));
    words.iter().any(is_present) && others.all(|word| BESIDE_PRESENT.split(' ').any(|beside| beside == *word))
}

impl Visitor for Reading<'_> {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        use Statement::{CreateIndex, CreateTable, Delete, Insert, Merge, Query, Update};
        let (allowed, only) = match self.purpose {
            Purpose::Tables => (
                matches!(statement, CreateTable(_) | CreateIndex(_) | Query(_)),
                "it may only make tables or indexes",
            ),
            Purpose::Fold => (
                matches!(statement, Query(_) | Insert(_) | Update(_) | Delete(_) | Merge(_)),
                "it may only insert, update, delete and merge",
            ),
            Purpose::Query { .. } => (matches!(statement, Query(_)), "it may only read"),
        };
        if !allowed {
            let text = statement.to_string();
            let beginning: Vec<_> = text.split_whitespace().take(2).collect();
            self.fault(format!("`{}`: {only}", beginning.join(" ").to_lowercase()));
        }
        match statement {
            Insert(insert) => {
                self.check.insert(self.file, insert);
                let faults = self.singly.cut(insert, &self.check.tables);
                faults.into_iter().for_each(|fault| self.fault(fault));
            }
            Merge(merge) => self.check.merge(merge),
            Update(update) => self.update(update),
            _ => {}
        }
        if self.purpose == Purpose::Fold {
            self.check.meet(self.file, &mut self.singly, statement);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let common = query.with.iter().flat_map(|with| &with.cte_tables);
        self.common.extend(common.map(|table| folded(&table.alias.name)));
        self.singly.note(query);
        if self.purpose.is_repeated() {
            let asks = self.asking.contains(&ptr::from_ref(query));
            order::faults(query, asks).into_iter().for_each(|fault| self.fault(fault));
        }
        if self.purpose == Purpose::Fold {
            self.check.meet_in(self.file, &mut self.singly, query);
        }
        let skips = |lock: &LockClause| matches!(lock.nonblock, Some(NonBlock::SkipLocked));
        if self.purpose.is_repeated() && query.locks.iter().any(skips) {
            self.fault("`skip locked` leaves out rows that somebody else happens to hold".into());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.singly.forget();
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if relation.0.len() > 1 {
            self.fault(format!("`{relation}` names a schema; each generation has one of its own"));
        }
        let name = last_name(relation);
        let is_quoted =
            matches!(&relation.0[..], [ObjectNamePart::Identifier(name)] if name.quote_style.is_some());
        let is_own = self.common.contains(&name) || self.check.tables.iter().any(|table| table.name == name);
        let is_called =
            !is_quoted && BARE_IN_FROM.contains(&name.as_str()) || !is_own && name.starts_with("pg_");
        if self.purpose.is_repeated()
            && is_called
            && let Some(cause) = depends_on(&name, 0)
        {
            self.fault(format!("`{name}` depends on {cause}: another fold of the same events would differ"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(called), .. } => self.call(name, called.args.len()),
            TableFactor::Function { name, args, .. } => self.call(name, args.len()),
            _ => {}
        }
        let is_sampled = matches!(
            factor,
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. }
        );
        if self.purpose.is_repeated() && is_sampled {
            self.fault("`tablesample` takes rows by chance".into());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, value: &Expr) -> ControlFlow<()> {
        match value {
            Expr::Function(called) => {
                if self.purpose.is_repeated() {
                    order::fault_of_array(called).into_iter().for_each(|fault| self.fault(fault));
                }
                let arguments = match &called.args {
                    FunctionArguments::List(list) => list.args.len(),
                    FunctionArguments::Subquery(_) => 1,
                    FunctionArguments::None => 0,
                };
                self.call(&called.name, arguments);
            }
            Expr::Exists { subquery, .. } => self.asking.push(ptr::from_ref(&**subquery)),
            Expr::Identifier(name) if name.quote_style.is_none() && BARE.contains(&folded(name).as_str()) => {
                self.call(&ObjectName::from(vec![name.clone()]), 0);
            }
            Expr::Identifier(name) => self.column(name),
            Expr::CompoundIdentifier(names) => names.iter().skip(1).for_each(|name| self.column(name)),
            Expr::Cast { data_type, .. } => self.cast(data_type),
            Expr::TypedString(typed) => self.cast(&typed.data_type),
            Expr::BinaryOp { op: BinaryOperator::Arrow | BinaryOperator::LongArrow, right, .. } => {
                if let Expr::Value(member) = &**right {
                    self.members.push(member.span);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(name) = &value.value {
            self.placeholder(name);
        }
        // A string in whatever quotes.
        if self.purpose.is_repeated()
            && let Some(text) = value.value.clone().into_string()
            && !self.members.contains(&value.span)
            && is_of_the_present(&text)
        {
            self.fault(format!(
                "`'{text}'` becomes the present time where a date is meant, which depends on the clock"
            ));
        }
        ControlFlow::Continue(())
    }
}

impl Reading<'_> {
    fn update(&mut self, update: &Update) {
        if !self.singly.finds_rows(update, &self.check.tables) {
            self.fault(format!(
                "`update {}` takes values from `events` and compares none of its own columns with {}: where several \
                 events meet one row, Postgres applies one of them and drops the others. Take them from a subquery that \
                 has one row for each, by `group by` where they add up",
                update.table, IDENTITY.join(", "),
            ));
        }
    }

    fn column(&mut self, name: &Ident) {
        if self.purpose.is_repeated() && SYSTEM_COLUMNS.contains(&folded(name).as_str()) {
            self.fault(format!("`{name}` depends on where rows lie, which differs between generations"));
        }
    }

    fn placeholder(&mut self, name: &str) {
        let Purpose::Query { parameters } = self.purpose else {
            return self.fault(format!("`{name}` stands for nothing: statements read `events`"));
        };
        let number = name.strip_prefix('$').and_then(|number| number.parse().ok());
        if !number.is_some_and(|number: usize| (1..=parameters).contains(&number)) {
            self.fault(format!(
                "`{name}` stands for nothing: projection.toml declares {parameters} parameters"
            ));
        }
    }

    fn cast(&mut self, to: &ast::DataType) {
        if self.purpose.is_repeated()
            && let Some(reason) = tables::unfit(to)
        {
            self.fault(format!("a cast to `{}`: {reason}", DataType::to_string(to).to_lowercase()));
        }
    }
}
