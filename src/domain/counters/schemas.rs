//! What the data of a counter's events looks like, for consumers of its topic. A version that was ever written stays.

use crate::aggregate::EventSchema;

pub(super) const SCHEMAS: &[EventSchema] = &[
    EventSchema {
        event_type: "counter.created",
        version: 1,
        json: include_str!("schemas/counter.created.v1.json"),
    },
    EventSchema {
        event_type: "counter.incremented",
        version: 1,
        json: include_str!("schemas/counter.incremented.v1.json"),
    },
    EventSchema {
        event_type: "counter.reset",
        version: 1,
        json: include_str!("schemas/counter.reset.v1.json"),
    },
];
