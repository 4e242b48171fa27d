//! What can be asked of a note.

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum NoteCommand {
    #[serde(rename = "note.write")]
    Write { text: String },
    #[serde(rename = "note.archive")]
    Archive {},
}
