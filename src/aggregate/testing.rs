//! Given events, when a command, then events or a rejection: the form of every domain's tests.

use serde_json::Value;

use super::{Aggregate, Rejection};

/// A history, ready for a command.
pub(crate) struct Given<A: Aggregate>(A::State);

/// The aggregate after `events`.
pub(crate) fn given<A: Aggregate>(events: Vec<A::Event>) -> Given<A> {
    Given(events.iter().fold(A::State::default(), A::evolve))
}

impl<A: Aggregate> Given<A> {
    /// What the command leads to.
    pub(crate) fn when(&self, command: A::Command) -> Result<Vec<A::Event>, Rejection> {
        A::decide(&self.0, command)
    }
}

/// The events as JSON, numbers as the text they are written with.
pub(crate) fn accepts<A: Aggregate>(events: &[A::Event]) -> Vec<Value> {
    events.iter().map(|event| digits(serde_json::to_value(event).expect("events serialize"))).collect()
}

fn digits(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_str().contains('.') => Value::String(number.as_str().to_owned()),
        Value::Array(items) => items.into_iter().map(digits).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, digits(value))).collect(),
        other => other,
    }
}
