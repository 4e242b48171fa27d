//! The rules of a counter.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{commands::CounterCommand, events::CounterEvent, schemas::SCHEMAS};
use crate::aggregate::{Aggregate, CommandType, EventSchema, EventType, Rejection};

/// The aggregate.
pub struct Counter;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterState {
    /// `None` before it is created.
    pub code_hash: Option<String>,
    pub counter: i64,
}

impl Aggregate for Counter {
    const STREAM_TYPE: &'static str = "counter";
    const REVISION: u32 = 1;
    const COMMANDS: &'static [CommandType] = &[
        CommandType::new("counter.create", "CreateCounter").creating().with_secret(),
        CommandType::new("counter.increment", "IncrementCounter"),
        CommandType::new("counter.submit-code", "SubmitCode").with_secret(),
    ];
    const EVENTS: &'static [EventType] = &[
        EventType::new("counter.created", 1),
        EventType::new("counter.incremented", 1),
        EventType::new("counter.reset", 1),
    ];
    const SCHEMAS: &'static [EventSchema] = SCHEMAS;

    type State = CounterState;
    type Command = CounterCommand;
    type Event = CounterEvent;

    fn seal(_command: &str, body: &mut Value, salted: &dyn Fn(&str) -> String) {
        CounterCommand::seal(body, salted);
    }

    fn decide(state: &CounterState, command: CounterCommand) -> Result<Vec<CounterEvent>, Rejection> {
        match (command, &state.code_hash) {
            (CounterCommand::Create { code_hash }, None) => Ok(vec![CounterEvent::Created { code_hash }]),
            (CounterCommand::Create { .. }, Some(_)) => Err(Rejection::rule("the counter exists already")),
            (_, None) => Err(Rejection::not_found("there is no such counter")),
            (CounterCommand::Increment { by }, Some(_)) => match state.counter.checked_add(by) {
                Some(_) => Ok(vec![CounterEvent::Incremented { by }]),
                None => Err(Rejection::rule("the counter is full")),
            },
            (CounterCommand::SubmitCode { code_hash }, Some(right)) => {
                if code_hash == *right {
                    Ok(vec![CounterEvent::Reset {}])
                } else {
                    Err(Rejection::rule("the code is wrong"))
                }
            }
        }
    }

    fn evolve(state: CounterState, event: &CounterEvent) -> CounterState {
        match event {
            CounterEvent::Created { code_hash } => {
                CounterState { code_hash: Some(code_hash.clone()), counter: 0 }
            }
            CounterEvent::Incremented { by } => {
                CounterState { counter: state.counter.saturating_add(*by), ..state }
            }
            CounterEvent::Reset {} => CounterState { counter: 0, ..state },
        }
    }

    fn answer(state: &CounterState, id: Uuid, _version: i64, command: &str) -> Value {
        match command {
            "counter.create" => json!({ "id": id, "counter": state.counter }),
            _ => json!({ "counter": state.counter }),
        }
    }
}
