//! The rules of an order.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{commands::OrderCommand, events::OrderEvent, schemas::SCHEMAS};
use crate::{
    aggregate::{Aggregate, Claim, CommandType, EventSchema, EventType, Rejection, UniqueValue, Violation},
    domain::money::Money,
};

/// The aggregate.
pub struct Order;

/// Where an order is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Created,
    Confirmed,
    Paid,
    Shipped,
    Delivered,
    Cancelled,
    /// Paid back in full.
    Refunded,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Confirmed => "confirmed",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }
}

/// What the rules need to know of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderState {
    /// `None` before it is created.
    pub status: Option<Status>,
    pub total: Money,
    pub paid: Money,
    pub refunded: Money,
}

impl OrderState {
    /// What may still be paid back.
    fn refundable(&self) -> Money {
        self.paid.checked_sub(self.refunded).unwrap_or_default()
    }

    /// The commands that the present state allows.
    fn allowed(&self) -> Vec<&'static str> {
        let mut allowed = match self.status {
            Some(Status::Created) => vec!["items", "confirm", "cancel"],
            Some(Status::Confirmed) => vec!["pay", "cancel"],
            Some(Status::Paid) => vec!["ship", "cancel"],
            Some(Status::Shipped) => vec!["deliver"],
            Some(Status::Delivered | Status::Cancelled | Status::Refunded) | None => vec![],
        };
        if self.refundable() > Money::ZERO {
            allowed.push("refund");
        }
        allowed
    }

    /// Refuses an action that the present state does not allow.
    fn require(&self, action: &str) -> Result<(), Rejection> {
        let Some(status) = self.status else {
            return Err(Rejection::not_found("there is no such order"));
        };
        let allowed = self.allowed();
        if allowed.contains(&action) {
            return Ok(());
        }
        Err(self.refuse(format!("an order that is {} does not allow `{action}`", status.as_str())))
    }

    fn refuse(&self, detail: String) -> Rejection {
        Rejection::rule(detail).with("state", self.status.map(Status::as_str)).with("allowed", self.allowed())
    }
}

impl Aggregate for Order {
    const STREAM_TYPE: &'static str = "order";
    const REVISION: u32 = 1;
    const COMMANDS: &'static [CommandType] = &[
        CommandType::new("order.create", "CreateOrder").creating(),
        CommandType::new("order.replace-items", "ReplaceOrderItems"),
        CommandType::new("order.confirm", "ConfirmOrder"),
        CommandType::new("order.pay", "PayOrder"),
        CommandType::new("order.ship", "ShipOrder"),
        CommandType::new("order.deliver", "DeliverOrder"),
        CommandType::new("order.cancel", "CancelOrder"),
        CommandType::new("order.refund", "RefundOrder"),
    ];
    const EVENTS: &'static [EventType] = &[
        EventType::new("order.created", 1),
        EventType::new("order.items_replaced", 1),
        EventType::new("order.confirmed", 1),
        EventType::new("order.paid", 1),
        EventType::new("order.shipped", 1),
        EventType::new("order.delivered", 1),
        EventType::new("order.cancelled", 1),
        EventType::new("order.refunded", 1),
    ];
    const SCHEMAS: &'static [EventSchema] = SCHEMAS;

    type State = OrderState;
    type Command = OrderCommand;
    type Event = OrderEvent;

    fn command(name: &str, body: &Value) -> Result<OrderCommand, Vec<Violation>> {
        OrderCommand::read(name, body)
    }

    fn decide(state: &OrderState, command: OrderCommand) -> Result<Vec<OrderEvent>, Rejection> {
        let event = match command {
            OrderCommand::Create { customer_id, items, total, external_id } => {
                if state.status.is_some() {
                    return Err(state.refuse("the order exists already".into()));
                }
                OrderEvent::Created { customer_id, items, total, external_id }
            }
            OrderCommand::ReplaceItems { items, total } => {
                state.require("items")?;
                OrderEvent::ItemsReplaced { items, total }
            }
            OrderCommand::Confirm {} => {
                state.require("confirm")?;
                OrderEvent::Confirmed {}
            }
            OrderCommand::Pay { amount, reference } => {
                state.require("pay")?;
                if amount != state.total {
                    return Err(
                        state.refuse(format!("the amount must be the order's total, {}", state.total))
                    );
                }
                OrderEvent::Paid { amount, reference }
            }
            OrderCommand::Ship { carrier, tracking } => {
                state.require("ship")?;
                OrderEvent::Shipped { carrier, tracking }
            }
            OrderCommand::Deliver {} => {
                state.require("deliver")?;
                OrderEvent::Delivered {}
            }
            OrderCommand::Cancel { reason } => {
                state.require("cancel")?;
                OrderEvent::Cancelled { reason }
            }
            OrderCommand::Refund { amount, reason } => {
                state.require("refund")?;
                let refundable = state.refundable();
                if amount > refundable {
                    return Err(state.refuse(format!("at most {refundable} can be refunded")));
                }
                OrderEvent::Refunded { amount, reason, in_full: amount == refundable }
            }
        };
        Ok(vec![event])
    }

    fn evolve(state: OrderState, event: &OrderEvent) -> OrderState {
        let to = |status| OrderState { status: Some(status), ..state.clone() };
        match event {
            OrderEvent::Created { total, .. } => OrderState { total: *total, ..to(Status::Created) },
            OrderEvent::ItemsReplaced { total, .. } => OrderState { total: *total, ..state },
            OrderEvent::Confirmed {} => to(Status::Confirmed),
            OrderEvent::Paid { amount, .. } => OrderState { paid: *amount, ..to(Status::Paid) },
            OrderEvent::Shipped { .. } => to(Status::Shipped),
            OrderEvent::Delivered {} => to(Status::Delivered),
            OrderEvent::Cancelled { .. } => to(Status::Cancelled),
            OrderEvent::Refunded { amount, in_full, .. } => OrderState {
                refunded: state.refunded.checked_add(*amount).unwrap_or(Money::MAX),
                status: if *in_full { Some(Status::Refunded) } else { state.status },
                ..state
            },
        }
    }

    fn answer(state: &OrderState, id: Uuid, version: i64, command: &str) -> Value {
        let status = state.status.map(Status::as_str);
        match command {
            "order.create" => json!({ "id": id, "status": status }),
            _ => json!({ "id": id, "status": status, "version": version }),
        }
    }

    fn claims(_before: &OrderState, event: &OrderEvent) -> Vec<Claim> {
        match event {
            OrderEvent::Created { external_id: Some(external_id), .. } => vec![Claim::Take(UniqueValue {
                scope: "order.external_id",
                value: external_id.clone(),
                taken: Violation::at("/external_id", "an order with this external_id already exists"),
            })],
            _ => vec![],
        }
    }
}
