//! What a domain is to the rest: a pure state machine over its own events.
//!
//! A domain implements [`Aggregate`]; the command pipeline sees it through [`erased::AnyAggregate`], which speaks JSON
//! and knows no type of any domain. Nothing here knows of time, chance, SQL, Kafka or HTTP.

mod erased;
mod registry;
#[cfg(test)]
pub(crate) mod testing;

use std::{collections::BTreeMap, iter};

pub use erased::{AnyAggregate, AnyState, Decided, Decision, DecodeError, Encoded, decode, erase};
pub use registry::Registry;
use serde::{
    Deserialize, Serialize,
    de::value::{MapAccessDeserializer, MapDeserializer},
};
use serde_json::Value;
use uuid::Uuid;

/// A family of streams and the rules that govern them.
pub trait Aggregate: Send + Sync + 'static {
    /// Singular, lower case; the topic and the first part of each event's type are named after it.
    const STREAM_TYPE: &'static str;
    /// Grows when `State`, `evolve` or `upcast` changes: snapshots of older code are not used then, and a rebuild may differ from the
    /// rows that older code made.
    const REVISION: u32;
    /// Every command it takes, by its full name such as `order.confirm`.
    const COMMANDS: &'static [CommandType];
    /// Every event it writes, with the schema version written today.
    const EVENTS: &'static [EventType];

    /// What the data of its events looks like, in every version ever written.
    const SCHEMAS: &'static [EventSchema] = &[];

    /// What `decide` needs to know of the past. `Default` is the state before the first event.
    type State: Default + Clone + Send + Sync + Serialize + for<'de> Deserialize<'de> + 'static;
    /// Externally tagged by the command's name: `order.ship` is the variant renamed so, with the members of the body.
    type Command: for<'de> Deserialize<'de>;
    /// Externally tagged by the event's type: `{"order.created": {…}}`.
    type Event: Serialize + for<'de> Deserialize<'de>;

    /// Reads a command from a body that already satisfies its schema. What the schema cannot say (money's places, sums)
    /// is a violation here, each with its pointer.
    fn command(name: &str, body: &Value) -> Result<Self::Command, Vec<Violation>> {
        read(name, body)
    }

    /// What the command leads to: new events, or a rejection. Pure.
    fn decide(state: &Self::State, command: Self::Command) -> Result<Vec<Self::Event>, Rejection>;

    /// The state after one more event. Pure and total: an event that was appended is a fact.
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;

    /// What the caller is told after success.
    fn answer(state: &Self::State, id: Uuid, version: i64, command: &str) -> Value;

    /// Unique values that an event takes or releases for its stream, given the state before it.
    fn claims(_before: &Self::State, _event: &Self::Event) -> Vec<Claim> {
        Vec::new()
    }

    /// Brings the data of an older event to the next schema version; `None`: nothing known of that version.
    fn upcast(_event_type: &str, _from_version: i32, _data: Value) -> Option<Value> {
        None
    }

    /// Replaces secret fields of a body by what may be stored. `salted` is a slow, salted hash bound to the stream.
    fn seal(_command: &str, _body: &mut Value, _salted: &dyn Fn(&str) -> String) {}
}

/// Reads the command `name` of an aggregate from its body, by its type alone.
pub fn read<'de, C: Deserialize<'de>>(name: &'de str, body: &'de Value) -> Result<C, Vec<Violation>> {
    let tagged = MapAccessDeserializer::new(MapDeserializer::new(iter::once((name, body))));
    C::deserialize(tagged).map_err(|error: serde_json::Error| vec![Violation::at("", error.to_string())])
}

/// A command as the outside names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandType {
    /// `<stream_type>.<verb>`.
    pub name: &'static str,
    /// Name of the schema in openapi.yaml that its body must satisfy. Empty: not published; only the program sends it.
    pub schema: &'static str,
    /// Whether it begins a stream: then it gets a new id, and nothing has to be loaded.
    pub creates: bool,
    /// Whether its body holds a secret that [`Aggregate::seal`] has to replace.
    pub secret: bool,
}

impl CommandType {
    /// For a stream that is there, without a secret.
    pub const fn new(name: &'static str, schema: &'static str) -> Self {
        Self { name, schema, creates: false, secret: false }
    }

    /// The same, which begins a stream.
    pub const fn creating(self) -> Self {
        Self { creates: true, ..self }
    }

    /// The same, whose body holds a secret.
    pub const fn with_secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// An event as the log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventType {
    /// `<stream_type>.<past tense>`.
    pub name: &'static str,
    /// The schema version written today; older ones are upcast when read.
    pub schema_version: i32,
}

impl EventType {
    pub const fn new(name: &'static str, schema_version: i32) -> Self {
        Self { name, schema_version }
    }
}

/// What the data of an event looks like, for those who read it elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSchema {
    pub event_type: &'static str,
    pub version: i32,
    /// A JSON Schema, draft 7.
    pub json: &'static str,
}

/// A value that only one stream may hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    Take(UniqueValue),
    Release(UniqueValue),
}

/// The value of a claim, normalised by the domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UniqueValue {
    /// What kind of value, such as `project.name`.
    pub scope: &'static str,
    /// At most 512 bytes.
    pub value: String,
    /// What the caller is told when another stream holds it, and where in the body it stands.
    pub taken: Violation,
}

/// The business says no. Not an error: nothing broke.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejection {
    pub kind: RejectionKind,
    /// For people.
    pub detail: String,
    /// More for programs, such as `state` and `allowed`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, Value>,
    /// Parts of the body that are to blame.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
}

/// Which kind of no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionKind {
    /// There is no such aggregate (any more).
    NotFound,
    /// A rule forbids it in the present state.
    Rule,
    /// The body asks for what cannot be had, such as a name that is taken.
    Invalid,
}

impl Rejection {
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(RejectionKind::NotFound, detail)
    }

    pub fn rule(detail: impl Into<String>) -> Self {
        Self::new(RejectionKind::Rule, detail)
    }

    pub fn invalid(violation: Violation) -> Self {
        let mut rejection = Self::new(RejectionKind::Invalid, violation.detail.clone());
        rejection.violations.push(violation);
        rejection
    }

    /// Adds a member for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    fn new(kind: RejectionKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: BTreeMap::new(), violations: Vec::new() }
    }
}

/// One thing wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Violation {
    /// JSON Pointer (RFC 6901) to the member.
    pub pointer: String,
    pub detail: String,
}

impl Violation {
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}
