use super::{Note, NoteCommand, NoteEvent};
use crate::aggregate::{RejectionKind, testing::given};

fn written() -> NoteEvent {
    NoteEvent::Written { text: "buy tea".into() }
}

#[test]
fn a_note_is_archived_once() {
    assert_eq!(
        given::<Note>(vec![written()]).when(NoteCommand::Archive {}),
        Ok(vec![NoteEvent::Archived {}])
    );
    let again = given::<Note>(vec![written(), NoteEvent::Archived {}]).when(NoteCommand::Archive {});
    assert_eq!(again.expect_err("archived").kind, RejectionKind::Rule);
}

#[test]
fn a_note_that_was_never_written_is_not_found() {
    let rejection = given::<Note>(vec![]).when(NoteCommand::Archive {}).expect_err("no note");
    assert_eq!(rejection.kind, RejectionKind::NotFound);
}
