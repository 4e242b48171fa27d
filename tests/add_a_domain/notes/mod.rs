//! Notes: written once, archived at some time.

mod aggregate;
mod api;
mod commands;
mod events;
mod schemas;

pub use aggregate::{Note, NoteState};
pub(crate) use api::NotesApi;
pub use commands::NoteCommand;
pub use events::NoteEvent;

#[cfg(test)]
mod tests;
