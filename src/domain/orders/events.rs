//! What happens to an order. Every version ever written stays readable: see `tests/samples`.

use serde::{Deserialize, Serialize};

use crate::domain::money::Money;

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub sku: String,
    pub quantity: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Money>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderEvent {
    #[serde(rename = "order.created")]
    Created {
        customer_id: String,
        items: Vec<Item>,
        total: Money,
        /// The caller's own number, unique over all orders.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_id: Option<String>,
    },
    #[serde(rename = "order.items_replaced")]
    ItemsReplaced { items: Vec<Item>, total: Money },
    #[serde(rename = "order.confirmed")]
    Confirmed {},
    #[serde(rename = "order.paid")]
    Paid { amount: Money, reference: String },
    #[serde(rename = "order.shipped")]
    Shipped { carrier: String, tracking: String },
    #[serde(rename = "order.delivered")]
    Delivered {},
    #[serde(rename = "order.cancelled")]
    Cancelled { reason: String },
    #[serde(rename = "order.refunded")]
    Refunded {
        amount: Money,
        reason: String,
        /// Whether all that was paid is paid back now.
        in_full: bool,
    },
}
