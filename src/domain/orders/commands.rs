//! What can be asked of an order. The published schema checks types, lengths and ranges; here is what it cannot say.

use serde::Deserialize;
use serde_json::Value;

use super::events::Item;
use crate::{aggregate::Violation, domain::money::Money};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderCommand {
    Create { customer_id: String, items: Vec<Item>, total: Money, external_id: Option<String> },
    ReplaceItems { items: Vec<Item>, total: Money },
    Confirm,
    Pay { amount: Money, reference: String },
    Ship { carrier: String, tracking: String },
    Deliver,
    Cancel { reason: String },
    Refund { amount: Money, reason: String },
}

#[derive(Deserialize)]
struct Create {
    customer_id: String,
    items: Vec<Item>,
    total: Money,
    external_id: Option<String>,
}

#[derive(Deserialize)]
struct ReplaceItems {
    items: Vec<Item>,
    total: Money,
}

#[derive(Deserialize)]
struct Pay {
    amount: Money,
    reference: String,
}

#[derive(Deserialize)]
struct Ship {
    carrier: String,
    tracking: String,
}

#[derive(Deserialize)]
struct Cancel {
    reason: String,
}

#[derive(Deserialize)]
struct Refund {
    amount: Money,
    reason: String,
}

impl OrderCommand {
    /// Reads the command `name` from its body.
    pub fn read(name: &str, body: &Value) -> Result<Self, Vec<Violation>> {
        check_money(body)?;
        let command = match name {
            "order.create" => {
                let Create { customer_id, items, total, external_id } = typed(body)?;
                check_total(&items, total)?;
                Self::Create { customer_id, items, total, external_id }
            }
            "order.replace-items" => {
                let ReplaceItems { items, total } = typed(body)?;
                check_total(&items, total)?;
                Self::ReplaceItems { items, total }
            }
            "order.confirm" => Self::Confirm,
            "order.pay" => {
                let Pay { amount, reference } = typed(body)?;
                Self::Pay { amount, reference }
            }
            "order.ship" => {
                let Ship { carrier, tracking } = typed(body)?;
                Self::Ship { carrier, tracking }
            }
            "order.deliver" => Self::Deliver,
            "order.cancel" => Self::Cancel { reason: typed::<Cancel>(body)?.reason },
            "order.refund" => {
                let Refund { amount, reason } = typed(body)?;
                if amount == Money::ZERO {
                    return Err(vec![Violation::at("/amount", "must be more than 0")]);
                }
                Self::Refund { amount, reason }
            }
            other => {
                return Err(vec![Violation::at("", format!("an order has no command `{other}`"))]);
            }
        };
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

fn typed<'de, T: Deserialize<'de>>(body: &'de Value) -> Result<T, Vec<Violation>> {
    T::deserialize(body).map_err(|error| vec![Violation::at("", error.to_string())])
}
