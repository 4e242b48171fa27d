//! What the data of a note's events looks like, for consumers of its topic. A version that was ever written stays.

use crate::aggregate::EventSchema;

pub(super) const SCHEMAS: &[EventSchema] = &[
    EventSchema {
        event_type: "note.written",
        version: 1,
        json: include_str!("schemas/note.written.v1.json"),
    },
    EventSchema {
        event_type: "note.archived",
        version: 1,
        json: include_str!("schemas/note.archived.v1.json"),
    },
];
