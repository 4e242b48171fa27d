//! What the data of an order's events looks like, for consumers of its topic. A version that was ever written stays.

use crate::aggregate::EventSchema;

pub(super) const SCHEMAS: &[EventSchema] = &[
    EventSchema {
        event_type: "order.created",
        version: 1,
        json: include_str!("schemas/order.created.v1.json"),
    },
    EventSchema {
        event_type: "order.items_replaced",
        version: 1,
        json: include_str!("schemas/order.items_replaced.v1.json"),
    },
    EventSchema {
        event_type: "order.confirmed",
        version: 1,
        json: include_str!("schemas/order.confirmed.v1.json"),
    },
    EventSchema { event_type: "order.paid", version: 1, json: include_str!("schemas/order.paid.v1.json") },
    EventSchema {
        event_type: "order.shipped",
        version: 1,
        json: include_str!("schemas/order.shipped.v1.json"),
    },
    EventSchema {
        event_type: "order.delivered",
        version: 1,
        json: include_str!("schemas/order.delivered.v1.json"),
    },
    EventSchema {
        event_type: "order.cancelled",
        version: 1,
        json: include_str!("schemas/order.cancelled.v1.json"),
    },
    EventSchema {
        event_type: "order.refunded",
        version: 1,
        json: include_str!("schemas/order.refunded.v1.json"),
    },
];
