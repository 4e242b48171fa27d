//! The lamp as it was at first.

use annals::aggregate::{Aggregate, CommandType, EventType, Rejection, Violation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) struct OldLamp;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct LampState {
    on: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum LampEvent {
    #[serde(rename = "lamp.switched")]
    Switched { on: bool },
}

impl Aggregate for OldLamp {
    const STREAM_TYPE: &'static str = "lamp";
    const REVISION: u32 = 1;
    const COMMANDS: &'static [CommandType] = &[];
    const EVENTS: &'static [EventType] = &[EventType { name: "lamp.switched", schema_version: 1 }];

    type State = LampState;
    type Command = ();
    type Event = LampEvent;

    fn command(_name: &str, _body: &Value) -> Result<(), Vec<Violation>> {
        Ok(())
    }

    fn decide(_lamp: &LampState, (): ()) -> Result<Vec<LampEvent>, Rejection> {
        Ok(vec![])
    }

    fn evolve(_lamp: LampState, event: &LampEvent) -> LampState {
        let LampEvent::Switched { on } = event;
        LampState { on: *on }
    }

    fn answer(lamp: &LampState, _id: Uuid, _version: i64, _command: &str) -> Value {
        json!({ "on": lamp.on })
    }
}
