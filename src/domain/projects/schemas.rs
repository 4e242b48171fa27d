//! What the data of a project's events looks like, for consumers of its topic. A version that was ever written stays.

use crate::aggregate::EventSchema;

pub(super) const SCHEMAS: &[EventSchema] = &[
    EventSchema {
        event_type: "project.created",
        version: 1,
        json: include_str!("schemas/project.created.v1.json"),
    },
    EventSchema {
        event_type: "project.changed",
        version: 1,
        json: include_str!("schemas/project.changed.v1.json"),
    },
    EventSchema {
        event_type: "project.deleted",
        version: 1,
        json: include_str!("schemas/project.deleted.v1.json"),
    },
];
