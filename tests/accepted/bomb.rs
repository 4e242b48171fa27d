//! An aggregate with a mistake in it.

use annals::aggregate::{Aggregate, CommandType, EventType, Rejection, Violation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) struct Bomb;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum BombEvent {
    #[serde(rename = "bomb.made")]
    Made {},
}

impl Aggregate for Bomb {
    const STREAM_TYPE: &'static str = "bomb";
    const REVISION: u32 = 1;
    const COMMANDS: &'static [CommandType] = &[CommandType::new("bomb.make", "").creating()];
    const EVENTS: &'static [EventType] = &[EventType::new("bomb.made", 1)];

    type State = ();
    type Command = ();
    type Event = BombEvent;

    fn command(_name: &str, _body: &Value) -> Result<(), Vec<Violation>> {
        Ok(())
    }

    fn decide((): &(), (): ()) -> Result<Vec<BombEvent>, Rejection> {
        panic!("a mistake in the domain")
    }

    fn evolve((): (), _event: &BombEvent) {}

    fn answer((): &(), _id: Uuid, _version: i64, _command: &str) -> Value {
        json!({})
    }
}
