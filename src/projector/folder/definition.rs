//! `projection.toml`: what a projection says of itself.

use std::collections::BTreeMap;

use postgres_types::Type;
use serde::Deserialize;

use super::Parameter;

/// Longest name, so that the schema of a generation fits Postgres' 63 bytes.
const NAME_LENGTH_MAX: usize = 40;
/// Names that requests use for other things than columns.
pub(super) const RESERVED: &[&str] = &["limit", "cursor", "sort", TOKEN];
const TOKEN: &str = "consistency_token";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) version: i32,
    #[serde(default)]
    pub(super) description: String,
    pub(super) events: Vec<String>,
    pub(super) key: Vec<String>,
    pub(super) table: Option<String>,
    #[serde(default)]
    pub(super) order: Order,
    #[serde(default)]
    pub(super) rows: Rows,
    #[serde(default)]
    pub(super) on_error: OnError,
    #[serde(default)]
    pub(super) filter: Vec<String>,
    #[serde(default)]
    pub(super) sort: Vec<String>,
    #[serde(default)]
    pub(super) queries: BTreeMap<String, Declared>,
}

/// In which order events are folded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The order of each stream; streams side by side.
    #[default]
    Stream,
    /// The order of the whole log: one worker, which tails it.
    Global,
}

/// Whose a row is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// Each row belongs to one stream.
    #[default]
    Own,
    /// Rows gather many streams; batches are applied one after the other.
    Shared,
}

/// What happens when the database refuses an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The projection stands still and says so.
    #[default]
    Stop,
    /// The event's stream is parked; the others go on.
    Park,
}

/// A query as it is declared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    parameters: Vec<DeclaredParameter>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredParameter {
    name: String,
    #[serde(rename = "type")]
    parameter_type: ParameterType,
    #[serde(default)]
    required: bool,
}

/// The type of a query's parameter, named as in Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterType {
    Text,
    Uuid,
    Bigint,
    Numeric,
    Boolean,
    Date,
    Timestamptz,
}

impl ParameterType {
    /// Its type on the wire.
    pub(crate) fn wire(self) -> Type {
        match self {
            Self::Text => Type::TEXT,
            Self::Uuid => Type::UUID,
            Self::Bigint => Type::INT8,
            Self::Numeric => Type::NUMERIC,
            Self::Boolean => Type::BOOL,
            Self::Date => Type::DATE,
            Self::Timestamptz => Type::TIMESTAMPTZ,
        }
    }
}

impl Declared {
    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let parameter = |declared: &DeclaredParameter| Parameter {
            name: declared.name.clone(),
            parameter_type: declared.parameter_type,
            required: declared.required,
        };
        self.parameters.iter().map(parameter).collect()
    }
}

impl Definition {
    pub(super) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The table whose rows the API serves.
    pub(super) fn main_table(&self) -> &str {
        self.table.as_ref().unwrap_or(&self.name)
    }

    /// What is wrong with it, in words.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut require = |holds: bool, detail: String| {
            if !holds {
                faults.push(detail);
            }
        };
        let name_form = format!("must be 1 to {NAME_LENGTH_MAX} of a-z, 0-9 and _, beginning with a letter");
        require(is_name(&self.name), format!("`name` {name_form}"));
        require(self.version > 0, "`version` must be at least 1".into());
        require(!self.events.is_empty(), "`events` is empty: there is nothing to fold".into());
        for event in &self.events {
            let named = event.split_once('.').is_some_and(|(stream, verb)| is_name(stream) && is_name(verb));
            require(named, format!("`{event}` in `events` is not like `order.created`"));
        }
        require(!self.key.is_empty(), "`key` is empty: rows could not be told apart".into());
        for column in [&self.key, &self.filter, &self.sort].into_iter().flatten() {
            require(is_column(column), format!("column `{column}` {name_form}"));
        }
        for (list, columns) in
            [("events", &self.events), ("key", &self.key), ("filter", &self.filter), ("sort", &self.sort)]
        {
            for (index, column) in columns.iter().enumerate() {
                require(!columns[..index].contains(column), format!("`{column}` stands twice in `{list}`"));
            }
        }
        for (name, query) in &self.queries {
            require(is_name(name), format!("query `{name}` {name_form}"));
            for (index, parameter) in query.parameters.iter().enumerate() {
                let name = &parameter.name;
                let before = &query.parameters[..index];
                require(
                    !before.iter().any(|before| before.name == *name),
                    format!("parameter `{name}` stands twice in one query"),
                );
                require(is_name(name), format!("parameter `{name}` {name_form}"));
                require(
                    !RESERVED.contains(&name.as_str()),
                    format!("parameter `{name}` is one of every request"),
                );
            }
        }
        require(
            !(self.order == Order::Global && self.on_error == OnError::Park),
            "`on_error = \"park\"` parks streams, which would break `order = \"global\"`".into(),
        );
        faults
    }
}

fn is_name(text: &str) -> bool {
    is_column(text) && text.len() <= NAME_LENGTH_MAX
}

fn is_column(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
