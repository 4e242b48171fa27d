//! What the data of an admin's events looks like, for consumers of their topic. A version that was ever written stays.

use crate::aggregate::EventSchema;

pub(super) const SCHEMAS: &[EventSchema] = &[
    EventSchema {
        event_type: "admin.key_created",
        version: 1,
        json: include_str!("schemas/admin.key_created.v1.json"),
    },
    EventSchema {
        event_type: "admin.key_revoked",
        version: 1,
        json: include_str!("schemas/admin.key_revoked.v1.json"),
    },
    EventSchema {
        event_type: "admin.action_requested",
        version: 1,
        json: include_str!("schemas/admin.action_requested.v1.json"),
    },
    EventSchema {
        event_type: "admin.projection_dropped",
        version: 1,
        json: include_str!("schemas/admin.projection_dropped.v1.json"),
    },
    EventSchema {
        event_type: "admin.reconcile_requested",
        version: 1,
        json: include_str!("schemas/admin.reconcile_requested.v1.json"),
    },
    EventSchema {
        event_type: "admin.reconcile_ended",
        version: 1,
        json: include_str!("schemas/admin.reconcile_ended.v1.json"),
    },
    EventSchema {
        event_type: "admin.incarnation_requested",
        version: 1,
        json: include_str!("schemas/admin.incarnation_requested.v1.json"),
    },
];
