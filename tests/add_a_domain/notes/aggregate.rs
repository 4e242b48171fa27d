//! The rules of a note.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{commands::NoteCommand, events::NoteEvent, schemas::SCHEMAS};
use crate::aggregate::{Aggregate, CommandType, EventSchema, EventType, Rejection};

/// The aggregate.
pub struct Note;

/// What the rules need to know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoteState {
    #[default]
    Absent,
    Written,
    Archived,
}

impl Aggregate for Note {
    const STREAM_TYPE: &'static str = "note";
    const REVISION: u32 = 1;
    const COMMANDS: &'static [CommandType] = &[
        CommandType::new("note.write", "WriteNote").creating(),
        CommandType::new("note.archive", "ArchiveNote"),
    ];
    const EVENTS: &'static [EventType] =
        &[EventType::new("note.written", 1), EventType::new("note.archived", 1)];
    const SCHEMAS: &'static [EventSchema] = SCHEMAS;

    type State = NoteState;
    type Command = NoteCommand;
    type Event = NoteEvent;

    fn decide(note: &NoteState, command: NoteCommand) -> Result<Vec<NoteEvent>, Rejection> {
        match (command, note) {
            (NoteCommand::Write { text }, NoteState::Absent) => {
                Ok(vec![NoteEvent::Written { text: text.trim().to_owned() }])
            }
            (NoteCommand::Write { .. }, _) => Err(Rejection::rule("the note is written already")),
            (NoteCommand::Archive {}, NoteState::Absent) => {
                Err(Rejection::not_found("there is no such note"))
            }
            (NoteCommand::Archive {}, NoteState::Written) => Ok(vec![NoteEvent::Archived {}]),
            (NoteCommand::Archive {}, NoteState::Archived) => {
                Err(Rejection::rule("the note is archived already").with("state", "archived"))
            }
        }
    }

    fn evolve(_note: NoteState, event: &NoteEvent) -> NoteState {
        match event {
            NoteEvent::Written { .. } => NoteState::Written,
            NoteEvent::Archived {} => NoteState::Archived,
        }
    }

    fn answer(_note: &NoteState, id: Uuid, version: i64, _command: &str) -> Value {
        json!({ "id": id, "version": version })
    }
}
