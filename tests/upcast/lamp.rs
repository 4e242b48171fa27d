//! An aggregate with a past: its one event was written in three versions.

use annals::aggregate::{Aggregate, CommandType, EventType, Rejection, Violation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) struct Lamp;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct LampState {
    state: String,
    brightness: i64,
}

/// Version 1 was `{on: bool}`, version 2 `{state}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum LampEvent {
    #[serde(rename = "lamp.switched")]
    Switched { state: String, brightness: i64 },
}

impl Aggregate for Lamp {
    const STREAM_TYPE: &'static str = "lamp";
    const REVISION: u32 = 3;
    const COMMANDS: &'static [CommandType] =
        &[CommandType { name: "lamp.brighten", schema: "BrightenLamp", creates: false, secret: false }];
    const EVENTS: &'static [EventType] = &[EventType { name: "lamp.switched", schema_version: 3 }];

    type State = LampState;
    type Command = ();
    type Event = LampEvent;

    fn command(_name: &str, _body: &Value) -> Result<(), Vec<Violation>> {
        Ok(())
    }

    fn decide(lamp: &LampState, (): ()) -> Result<Vec<LampEvent>, Rejection> {
        if lamp.state != "on" {
            return Err(Rejection::rule("the lamp is off"));
        }
        Ok(vec![LampEvent::Switched { state: lamp.state.clone(), brightness: lamp.brightness + 1 }])
    }

    fn evolve(_lamp: LampState, event: &LampEvent) -> LampState {
        let LampEvent::Switched { state, brightness } = event.clone();
        LampState { state, brightness }
    }

    fn answer(lamp: &LampState, _id: Uuid, _version: i64, _command: &str) -> Value {
        json!({ "brightness": lamp.brightness })
    }

    fn upcast(_event_type: &str, from_version: i32, data: Value) -> Option<Value> {
        match from_version {
            1 => Some(json!({ "state": if data["on"] == json!(true) { "on" } else { "off" } })),
            2 => Some(json!({ "state": data["state"], "brightness": 10 })),
            _ => None,
        }
    }
}
