//! What can be asked of a note.

use serde_json::Value;

use crate::aggregate::Violation;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteCommand {
    Write { text: String },
    Archive,
}

impl NoteCommand {
    /// Reads the command `name` from its body.
    pub fn read(name: &str, body: &Value) -> Result<Self, Vec<Violation>> {
        match name {
            "note.write" => match body["text"].as_str() {
                Some(text) => Ok(Self::Write { text: text.trim().to_owned() }),
                None => Err(vec![Violation::at("/text", "is required")]),
            },
            "note.archive" => Ok(Self::Archive),
            other => Err(vec![Violation::at("", format!("a note has no command `{other}`"))]),
        }
    }
}
