//! An aggregate without its types: the seam between domains and the command pipeline.

use std::{any::Any, collections::BTreeMap, marker::PhantomData, sync::Arc};

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Aggregate, Claim, CommandType, EventSchema, EventType, Rejection, UniqueValue, Violation};
use crate::json::RawJson;

/// A state whose type only its aggregate knows. Shared, never changed in place.
pub type AnyState = Arc<dyn Any + Send + Sync>;

/// An event as it is stored: type, schema version and data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub event_type: &'static str,
    pub schema_version: i32,
    pub data: RawJson,
}

/// What `decide` led to.
pub struct Decided {
    pub decision: Decision,
    /// The state after the new events.
    pub state: AnyState,
    /// What the caller is told if it is appended.
    pub answer: Value,
}

/// Yes or no.
pub enum Decision {
    Accepted { events: Vec<Encoded>, claims: Vec<Claim> },
    Rejected(Rejection),
}

/// A stored event that this program cannot read. Its reader stops: skipping would make a wrong state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("event type `{event_type}` is not known to this program; a newer one wrote it")]
    Unknown { event_type: String },
    #[error(
        "`{event_type}` has schema version {schema_version}, this program knows versions up to {known}; a newer one \
         wrote it"
    )]
    Newer { event_type: String, schema_version: i32, known: i32 },
    #[error("`{event_type}` of schema version {schema_version} does not decode: {detail}")]
    Malformed { event_type: String, schema_version: i32, detail: String },
}

/// [`Aggregate`] in terms of JSON and [`AnyState`].
pub trait AnyAggregate: Send + Sync {
    fn stream_type(&self) -> &'static str;
    fn revision(&self) -> u32;
    fn commands(&self) -> &'static [CommandType];
    fn events(&self) -> &'static [EventType];
    fn schemas(&self) -> &'static [EventSchema];
    /// The state before the first event.
    fn initial(&self) -> AnyState;
    /// What is wrong with a body beyond its schema; nothing where it can be decided.
    fn check(&self, command: &str, body: &Value) -> Vec<Violation>;
    /// The state after `events`, given as type, schema version and data.
    fn fold(
        &self,
        state: &AnyState,
        events: &mut dyn Iterator<Item = (&str, i32, &RawJson)>,
    ) -> Result<AnyState, DecodeError>;
    /// Decides a body that passed [`AnyAggregate::check`], on the state of `version`.
    fn decide(
        &self,
        state: &AnyState,
        command: &str,
        body: &Value,
        id: Uuid,
        version: i64,
    ) -> Result<Decided, Vec<Violation>>;
    /// The data as of today's schema version.
    fn upcast(&self, event_type: &str, schema_version: i32, data: &RawJson) -> Result<RawJson, DecodeError>;
    fn seal(&self, command: &str, body: &mut Value, salted: &dyn Fn(&str) -> String);
    /// The state as JSON, for auditors and snapshots.
    fn state_json(&self, state: &AnyState) -> RawJson;
    /// A state that [`AnyAggregate::state_json`] of the same revision wrote.
    fn restore(&self, json: &RawJson) -> Option<AnyState>;
    /// The claims of a history, for comparing with those stored.
    fn claims(
        &self,
        state: &AnyState,
        event_type: &str,
        schema_version: i32,
        data: &RawJson,
    ) -> Result<Vec<Claim>, DecodeError>;
}

/// The aggregate `A` without its types.
pub fn erase<A: Aggregate>() -> Box<dyn AnyAggregate> {
    Box::new(Erased::<A>(PhantomData))
}

/// An event of the aggregate `A`, brought to today's schema version.
pub fn decode<A: Aggregate>(
    event_type: &str,
    schema_version: i32,
    data: &RawJson,
) -> Result<A::Event, DecodeError> {
    Erased::<A>(PhantomData).decode(event_type, schema_version, data)
}

struct Erased<A>(PhantomData<fn() -> A>);

impl<A: Aggregate> Erased<A> {
    fn typed<'a>(&self, state: &'a AnyState) -> &'a A::State {
        state.downcast_ref().expect("a state comes back to the aggregate that made it")
    }

    fn decode(&self, event_type: &str, schema_version: i32, data: &RawJson) -> Result<A::Event, DecodeError> {
        let upcast;
        let data = if self.current(event_type, schema_version)? == schema_version {
            data
        } else {
            upcast = self.upcast(event_type, schema_version, data)?;
            &upcast
        };
        serde_json::from_str(&format!("{{\"{event_type}\":{}}}", data.as_str()))
            .map_err(|error| malformed(event_type, schema_version, error))
    }

    fn current(&self, event_type: &str, schema_version: i32) -> Result<i32, DecodeError> {
        let Some(known) = A::EVENTS.iter().find(|known| known.name == event_type) else {
            return Err(DecodeError::Unknown { event_type: event_type.to_owned() });
        };
        if schema_version > known.schema_version {
            return Err(DecodeError::Newer {
                event_type: event_type.to_owned(),
                schema_version,
                known: known.schema_version,
            });
        }
        Ok(known.schema_version)
    }
}

impl<A: Aggregate> AnyAggregate for Erased<A> {
    fn stream_type(&self) -> &'static str {
        A::STREAM_TYPE
    }

    fn revision(&self) -> u32 {
        A::REVISION
    }

    fn commands(&self) -> &'static [CommandType] {
        A::COMMANDS
    }

    fn events(&self) -> &'static [EventType] {
        A::EVENTS
    }

    fn schemas(&self) -> &'static [EventSchema] {
        A::SCHEMAS
    }

    fn initial(&self) -> AnyState {
        Arc::new(A::State::default())
    }

    fn check(&self, command: &str, body: &Value) -> Vec<Violation> {
        A::command(command, body).err().unwrap_or_default()
    }

    fn fold(
        &self,
        state: &AnyState,
        events: &mut dyn Iterator<Item = (&str, i32, &RawJson)>,
    ) -> Result<AnyState, DecodeError> {
        let mut folded = self.typed(state).clone();
        for (event_type, schema_version, data) in events {
            folded = A::evolve(folded, &self.decode(event_type, schema_version, data)?);
        }
        Ok(Arc::new(folded))
    }

    fn decide(
        &self,
        state: &AnyState,
        command: &str,
        body: &Value,
        id: Uuid,
        version: i64,
    ) -> Result<Decided, Vec<Violation>> {
        let before = self.typed(state);
        let events = match A::decide(before, A::command(command, body)?) {
            Ok(events) => events,
            Err(rejection) => {
                let decision = Decision::Rejected(rejection);
                return Ok(Decided { decision, state: state.clone(), answer: Value::Null });
            }
        };
        let mut after = before.clone();
        let mut claims = Vec::new();
        for event in &events {
            claims.extend(A::claims(&after, event));
            after = A::evolve(after, event);
        }
        let version = version + events.len() as i64;
        let answer = A::answer(&after, id, version, command);
        let events = events.iter().map(encode::<A>).collect();
        let decision = Decision::Accepted { events, claims: net(claims) };
        Ok(Decided { decision, state: Arc::new(after), answer })
    }

    fn upcast(&self, event_type: &str, schema_version: i32, data: &RawJson) -> Result<RawJson, DecodeError> {
        let current = self.current(event_type, schema_version)?;
        if current == schema_version {
            return Ok(data.clone());
        }
        let mut value: Value = data.parse().map_err(|error| malformed(event_type, schema_version, error))?;
        for version in schema_version..current {
            value = A::upcast(event_type, version, value)
                .ok_or_else(|| malformed(event_type, version, "there is no upcaster for this version"))?;
        }
        Ok(RawJson::of(&value))
    }

    fn seal(&self, command: &str, body: &mut Value, salted: &dyn Fn(&str) -> String) {
        A::seal(command, body, salted);
    }

    fn state_json(&self, state: &AnyState) -> RawJson {
        RawJson::of(self.typed(state))
    }

    fn restore(&self, json: &RawJson) -> Option<AnyState> {
        json.parse::<A::State>().ok().map(|state| Arc::new(state) as AnyState)
    }

    fn claims(
        &self,
        state: &AnyState,
        event_type: &str,
        schema_version: i32,
        data: &RawJson,
    ) -> Result<Vec<Claim>, DecodeError> {
        Ok(A::claims(self.typed(state), &self.decode(event_type, schema_version, data)?))
    }
}

/// Takes `{"<type>":<data>}` apart. The names are our own constants, so nothing in them is escaped.
fn encode<A: Aggregate>(event: &A::Event) -> Encoded {
    let tagged = to_text(event);
    let known = A::EVENTS
        .iter()
        .find(|known| {
            tagged.strip_prefix("{\"").is_some_and(|rest| rest.starts_with(&format!("{}\":", known.name)))
        })
        .expect("every event an aggregate writes is in its EVENTS");
    let data = &tagged[known.name.len() + "{\"\":".len()..tagged.len() - "}".len()];
    Encoded { event_type: known.name, schema_version: known.schema_version, data: RawJson::trusted(data) }
}

fn to_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("events hold strings, numbers and uuids only")
}

fn malformed(event_type: &str, schema_version: i32, detail: impl ToString) -> DecodeError {
    DecodeError::Malformed { event_type: event_type.to_owned(), schema_version, detail: detail.to_string() }
}

/// What several claims on one value come to: the last one counts, and releasing what was only just taken is nothing.
fn net(claims: Vec<Claim>) -> Vec<Claim> {
    let key = |value: &UniqueValue| (value.scope, value.value.clone());
    let mut last: BTreeMap<_, (bool, Claim)> = BTreeMap::new();
    for claim in claims {
        let (Claim::Take(value) | Claim::Release(value)) = &claim;
        let taken = matches!(claim, Claim::Take(_));
        match last.get_mut(&key(value)) {
            Some((_, last)) => *last = claim,
            None => {
                last.insert(key(value), (taken, claim));
            }
        }
    }
    last.into_values()
        .filter(|(first_taken, last)| *first_taken == matches!(last, Claim::Take(_)))
        .map(|(_, claim)| claim)
        .collect()
}
