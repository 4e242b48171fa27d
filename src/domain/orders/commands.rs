//! What can be asked of an order. The published schema checks types, lengths and ranges; here is what it cannot say.

use serde::Deserialize;
use serde_json::Value;

use super::events::Item;
use crate::{
    aggregate::{self, Violation},
    domain::money::Money,
};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum OrderCommand {
    #[serde(rename = "order.create")]
    Create { customer_id: String, items: Vec<Item>, total: Money, external_id: Option<String> },
    #[serde(rename = "order.replace-items")]
    ReplaceItems { items: Vec<Item>, total: Money },
    #[serde(rename = "order.confirm")]
    Confirm {},
    #[serde(rename = "order.pay")]
    Pay { amount: Money, reference: String },
    #[serde(rename = "order.ship")]
    Ship { carrier: String, tracking: String },
    #[serde(rename = "order.deliver")]
    Deliver {},
    #[serde(rename = "order.cancel")]
    Cancel { reason: String },
    #[serde(rename = "order.refund")]
    Refund { amount: Money, reason: String },
}

impl OrderCommand {
    /// Reads the command `name` from its body.
    pub fn read(name: &str, body: &Value) -> Result<Self, Vec<Violation>> {
        check_money(body)?;
        let command = aggregate::read(name, body)?;
        match &command {
            Self::Create { items, total, .. } | Self::ReplaceItems { items, total } => {
                check_total(items, *total)?;
            }
            Self::Refund { amount: Money::ZERO, .. } => {
                return Err(vec![Violation::at("/amount", "must be more than 0")]);
            }
            _ => {}
        }
        Ok(command)
    }
}

/// Every amount in the body, so that all faults are told at once.
fn check_money(body: &Value) -> Result<(), Vec<Violation>> {
    let items = body.get("items").and_then(Value::as_array).map_or(0, Vec::len);
    let pointers = ["/total".to_owned(), "/amount".to_owned()]
        .into_iter()
        .chain((0..items).map(|index| format!("/items/{index}/unit_price")));
    let violations: Vec<_> = pointers.filter_map(|pointer| Money::violation(body, &pointer)).collect();
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// Where every item has a price, the total is their sum.
fn check_total(items: &[Item], total: Money) -> Result<(), Vec<Violation>> {
    let sum: Option<i128> =
        items.iter().map(|item| Some(item.unit_price?.minor() * i128::from(item.quantity))).sum();
    match sum {
        Some(sum) if sum != total.minor() => {
            let sum = format!("{}.{:02}", sum / 100, sum % 100);
            Err(vec![Violation::at("/total", format!("must be the sum of quantity × unit_price, {sum}"))])
        }
        _ => Ok(()),
    }
}
