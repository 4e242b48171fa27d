//! What happens to a note.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoteEvent {
    #[serde(rename = "note.written")]
    Written { text: String },
    #[serde(rename = "note.archived")]
    Archived {},
}
