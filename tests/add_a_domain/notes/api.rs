//! Notes over HTTP: the shapes that are published, and which route is which command.

use poem_openapi::{Object, OpenApi, Tags, types::Example};
use uuid::Uuid;

use crate::api::{
    problem::Problem,
    read::{Read, Row},
    reply::{Created, Done},
    sent::{Id, Sent},
};

/// The routes.
pub(crate) struct NotesApi;

#[derive(Tags)]
enum Tag {
    /// Written once, archived at some time.
    Notes,
}

#[OpenApi(prefix_path = "/api/notes", tag = "Tag::Notes")]
impl NotesApi {
    /// Write a note
    #[oai(path = "/", method = "post", operation_id = "writeNote")]
    async fn write(&self, note: Sent<WriteNote>) -> Result<Created<NoteChanged>, Problem> {
        note.create("note.write").await
    }

    /// Archive a note
    #[oai(path = "/:id/archive", method = "post", operation_id = "archiveNote")]
    async fn archive(&self, id: Id, archival: Sent<ArchiveNote>) -> Result<Done<NoteChanged>, Problem> {
        archival.on(id, "note.archive").await
    }

    /// Get a note
    #[oai(path = "/:id", method = "get", operation_id = "getNote")]
    async fn get(&self, id: Id, read: Read) -> Result<Row<Note>, Problem> {
        read.row("notes", &[&id.0.to_string()]).await
    }
}

#[derive(Object)]
#[oai(example)]
struct WriteNote {
    #[oai(validator(min_length = 1, max_length = 500))]
    text: String,
}

/// Nothing has to be said.
#[derive(Object)]
struct ArchiveNote {}

#[derive(Object)]
struct NoteChanged {
    id: Uuid,
    /// How many events the note has.
    version: i64,
}

/// A note as it stands.
#[derive(Object)]
struct Note {
    id: Uuid,
    text: String,
    archived: bool,
    version: i64,
}

impl Example for WriteNote {
    fn example() -> Self {
        Self { text: "Buy tea.".into() }
    }
}
