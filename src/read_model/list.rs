//! Pages of rows: filtered and sorted by what the folder allows, continued by key and never by counting rows.

use tokio_postgres::Row;

use super::{Answer, BadParameter, Catalog, Error, cursor::Cursor, parameter::Given, snapshot::Snapshot};
use crate::{
    json::RawJson,
    projector::sql::{Identifier, fill},
};

const LIST: &str = include_str!("list.sql");

/// Rows per page where the request says nothing, and the most it may ask for.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 500;

/// What a request asks of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    pub filters: Vec<Filter>,
    /// Columns, each with whether it is descending. Empty: by key.
    pub sort: Vec<(String, bool)>,
    pub limit: usize,
    pub cursor: Option<String>,
    /// What is odd whatever the read model; told with what it finds odd.
    pub(super) faults: Vec<BadParameter>,
}

/// A condition on a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The parameter's name in the request, such as `total.gte`.
    pub parameter: String,
    pub column: String,
    pub operator: Operator,
    /// As text, in the form Postgres reads for the column's type.
    pub value: String,
}

/// How a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equal,
    AtLeast,
    Above,
    AtMost,
    Below,
}

/// Some rows, and where the next ones begin.
#[derive(Debug, Clone)]
pub struct Page {
    pub items: Vec<RawJson>,
    pub next: Option<String>,
}

impl Operator {
    fn of_suffix(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "gte" => Self::AtLeast,
            "gt" => Self::Above,
            "lte" => Self::AtMost,
            "lt" => Self::Below,
            _ => return None,
        })
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::AtLeast => ">=",
            Self::Above => ">",
            Self::AtMost => "<=",
            Self::Below => "<",
        }
    }
}

impl ListQuery {
    /// Reads a request's parameters: `limit`, `cursor`, `sort=-a,b`, and filters `a=`, `a.gte=`, `a.gt=`, `a.lte=`,
    /// `a.lt=`. Whether they can be used is told by the read.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut query = Self { limit: LIMIT_DEFAULT, ..Self::default() };
        for (name, value) in parameters {
            match name {
                "limit" => match value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)) {
                    Some(limit) => query.limit = limit,
                    None => query.faults.push(BadParameter::new(name, format!("must be 1 to {LIMIT_MAX}"))),
                },
                "cursor" => query.cursor = Some(value.to_owned()),
                "sort" => query.sort = value.split(',').map(sorted).collect(),
                _ => match filter(name, value) {
                    Some(filter) => query.filters.push(filter),
                    None => query.faults.push(BadParameter::new(name, "is not known")),
                },
            }
        }
        query
    }
}

fn sorted(text: &str) -> (String, bool) {
    match text.strip_prefix('-') {
        Some(column) => (column.to_owned(), true),
        None => (text.to_owned(), false),
    }
}

fn filter(parameter: &str, value: &str) -> Option<Filter> {
    let (column, operator) = match parameter.split_once('.') {
        Some((column, suffix)) => (column, Operator::of_suffix(suffix)?),
        None => (parameter, Operator::Equal),
    };
    Some(Filter {
        parameter: parameter.to_owned(),
        column: column.to_owned(),
        operator,
        value: value.to_owned(),
    })
}

impl Snapshot<'_> {
    /// A page, of fewer rows than asked for where they come to `bytes_max`.
    pub(super) async fn list(self, query: &ListQuery, bytes_max: usize) -> Result<Answer<Page>, Error> {
        let catalog = self.catalog;
        let mut faults = query.faults.clone();
        let order = Order::new(catalog, &query.sort, &mut faults);
        let text = order.text();
        let cursor = match &query.cursor {
            Some(cursor) => Some(Cursor::decode(cursor, &catalog.folder.name, catalog.generation)?),
            None => None,
        };
        let mut given: Vec<Given<'_>> = Vec::new();
        let mut conditions = Vec::new();
        for filter in &query.filters {
            if !catalog.folder.filter.contains(&filter.column) {
                let detail = format!(
                    "is not a filter of this read model; there are: {}",
                    catalog.folder.filter.join(", ")
                );
                faults.push(BadParameter::new(&filter.parameter, detail));
                continue;
            }
            given.push(Given::of(catalog, &filter.parameter, &filter.column, &filter.value));
            let column = Identifier::new(&filter.column);
            conditions.push(format!("\"$r\".{column} {} ${}", filter.operator.sql(), given.len()));
        }
        if !faults.is_empty() {
            faults.extend(self.unreadable(&given).await?);
            return Err(Error::BadParameters(faults));
        }
        if let Some(cursor) = &cursor {
            cursor.check_sort(&text, order.columns.len())?;
            conditions.push(order.after(given.len()));
            let values = order.columns.iter().zip(&cursor.values);
            given.extend(values.map(|((column, _), value)| Given::of(catalog, "cursor", column, value)));
        }
        if conditions.is_empty() {
            conditions.push("true".into());
        }
        let limit = query.limit.clamp(1, LIMIT_MAX);
        let sql = fill(
            LIST,
            &[
                ("schema", catalog.schema.as_str()),
                ("table", catalog.table.as_str()),
                ("sorted_by", &order.each(|column, _| format!("\"$r\".{column}::text"))),
                ("conditions", &conditions.join(" and ")),
                ("order", &order.each(|column, direction| format!("\"$r\".{column} {direction}"))),
                ("limit", &(limit + 1).to_string()),
                ("bytes", &bytes_max.to_string()),
            ],
        );
        let rows = self.rows(&sql, &given).await?;
        let rows = &rows[..rows.len().min(limit)];
        let is_more = |last: &&Row| last.get::<_, i64>("$rows") > rows.len() as i64;
        let next = rows.last().filter(is_more).map(|last| {
            let values = (1..=order.columns.len())
                .map(|index| last.get::<_, Option<String>>(index).unwrap_or_default());
            let read_model = catalog.folder.name.clone();
            Cursor { read_model, generation: catalog.generation, sort: text, values: values.collect() }
                .encode()
        });
        let items = rows.iter().map(|row| row.get(0)).collect();
        Ok(self.answer(Page { items, next }))
    }
}

/// A total order: what the request asks for, and then the key.
struct Order {
    columns: Vec<(String, bool)>,
}

impl Order {
    /// Adds what is odd about `sort` to `faults`.
    fn new(catalog: &Catalog, sort: &[(String, bool)], faults: &mut Vec<BadParameter>) -> Self {
        let mut columns: Vec<(String, bool)> = Vec::new();
        for (column, descending) in sort {
            if !catalog.folder.sort.contains(column) {
                let detail = format!("`{column}` is not among: {}", catalog.folder.sort.join(", "));
                faults.push(BadParameter::new("sort", detail));
            } else if columns.iter().any(|(before, _)| before == column) {
                faults.push(BadParameter::new("sort", format!("`{column}` stands twice")));
            } else {
                columns.push((column.clone(), *descending));
            }
        }
        // In the direction of the last one, so that one index can serve them all.
        let descending = columns.last().is_some_and(|(_, descending)| *descending);
        for column in &catalog.folder.key {
            if !columns.iter().any(|(before, _)| before == column) {
                columns.push((column.clone(), descending));
            }
        }
        Self { columns }
    }

    fn text(&self) -> String {
        let sign = |descending: bool| if descending { "-" } else { "" };
        let columns =
            self.columns.iter().map(|(column, descending)| format!("{}{column}", sign(*descending)));
        columns.collect::<Vec<_>>().join(",")
    }

    /// Something for each column (quoted) and its direction, separated by commas.
    fn each(&self, piece: impl Fn(&Identifier, &str) -> String) -> String {
        let direction = |descending: bool| if descending { "desc" } else { "asc" };
        let pieces = self
            .columns
            .iter()
            .map(|(column, descending)| piece(&Identifier::new(column), direction(*descending)));
        pieces.collect::<Vec<_>>().join(", ")
    }

    /// What holds for the rows after the cursor, whose values are the parameters after the first `before`. One
    /// comparison of rows where an index can serve it; else spelt out, column by column.
    fn after(&self, before: usize) -> String {
        let operator = |descending: bool| if descending { "<" } else { ">" };
        let column = |index: usize| format!("\"$r\".{}", Identifier::new(&self.columns[index].0));
        let value = |index: usize| format!("${}", before + index + 1);
        let count = self.columns.len();
        let first = self.columns[0].1;
        if self.columns.iter().all(|(_, descending)| *descending == first) {
            let columns: Vec<String> = (0..count).map(column).collect();
            let values: Vec<String> = (0..count).map(value).collect();
            return format!("({}) {} ({})", columns.join(", "), operator(first), values.join(", "));
        }
        let alternatives = (0..count).map(|index| {
            let mut terms: Vec<String> =
                (0..index).map(|equal| format!("{} = {}", column(equal), value(equal))).collect();
            terms.push(format!("{} {} {}", column(index), operator(self.columns[index].1), value(index)));
            format!("({})", terms.join(" and "))
        });
        format!("({})", alternatives.collect::<Vec<_>>().join(" or "))
    }
}
