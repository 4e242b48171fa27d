//! Orders over HTTP: the shapes that are published, and which route is which command.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object, OpenApi, Tags, types::Example};
use uuid::Uuid;

use crate::api::{
    money::{Amount, PositiveAmount},
    problem::Problem,
    read::{Filter, Page, Read, Row},
    reply::{Created, Done},
    sent::{Id, Sent},
};

const READ_MODEL: &str = "orders";

/// The routes.
pub(crate) struct OrdersApi;

#[derive(Tags)]
enum Tag {
    /// Created, changed, confirmed, paid, shipped, delivered, cancelled, refunded.
    Orders,
}

#[OpenApi(prefix_path = "/api/orders", tag = "Tag::Orders")]
impl OrdersApi {
    /// Create an order
    ///
    /// Where every item has a price, the total must be the sum of quantity × unit_price. An external_id belongs to one
    /// order only.
    #[oai(path = "/", method = "post", operation_id = "createOrder")]
    async fn create(&self, order: Sent<CreateOrder>) -> Result<Created<OrderCreated>, Problem> {
        order.create("order.create").await
    }

    /// List orders
    #[oai(path = "/", method = "get", operation_id = "listOrders")]
    async fn list(
        &self,
        read: Read,
        /// Whose orders.
        #[oai(name = "customer_id")]
        _customer_id: Filter<String>,
        /// In which state.
        #[oai(name = "status")]
        _status: Filter<OrderStatus>,
    ) -> Result<Page<Order>, Problem> {
        read.page(READ_MODEL).await
    }

    /// Get an order
    #[oai(path = "/:id", method = "get", operation_id = "getOrder")]
    async fn get(&self, id: Id, read: Read) -> Result<Row<Order>, Problem> {
        read.row(READ_MODEL, &[&id.0.to_string()]).await
    }

    /// Replace an order's items
    ///
    /// Allowed until the order is confirmed.
    #[oai(path = "/:id/items", method = "post", operation_id = "replaceOrderItems")]
    async fn replace_items(
        &self,
        id: Id,
        items: Sent<ReplaceOrderItems>,
    ) -> Result<Done<OrderChanged>, Problem> {
        items.on(id, "order.replace-items").await
    }

    /// Confirm an order
    #[oai(path = "/:id/confirm", method = "post", operation_id = "confirmOrder")]
    async fn confirm(&self, id: Id, confirmation: Sent<ConfirmOrder>) -> Result<Done<OrderChanged>, Problem> {
        confirmation.on(id, "order.confirm").await
    }

    /// Pay a confirmed order
    ///
    /// The amount must be the order's total.
    #[oai(path = "/:id/pay", method = "post", operation_id = "payOrder")]
    async fn pay(&self, id: Id, payment: Sent<PayOrder>) -> Result<Done<OrderChanged>, Problem> {
        payment.on(id, "order.pay").await
    }

    /// Ship a paid order
    #[oai(path = "/:id/ship", method = "post", operation_id = "shipOrder")]
    async fn ship(&self, id: Id, shipment: Sent<ShipOrder>) -> Result<Done<OrderChanged>, Problem> {
        shipment.on(id, "order.ship").await
    }

    /// Note that a shipped order was delivered
    #[oai(path = "/:id/deliver", method = "post", operation_id = "deliverOrder")]
    async fn deliver(&self, id: Id, delivery: Sent<DeliverOrder>) -> Result<Done<OrderChanged>, Problem> {
        delivery.on(id, "order.deliver").await
    }

    /// Cancel an order that is not shipped yet
    #[oai(path = "/:id/cancel", method = "post", operation_id = "cancelOrder")]
    async fn cancel(&self, id: Id, cancellation: Sent<CancelOrder>) -> Result<Done<OrderChanged>, Problem> {
        cancellation.on(id, "order.cancel").await
    }

    /// Pay back an order, wholly or in part
    ///
    /// A partial refund leaves the state; never more is paid back than was paid.
    #[oai(path = "/:id/refund", method = "post", operation_id = "refundOrder")]
    async fn refund(&self, id: Id, refund: Sent<RefundOrder>) -> Result<Done<OrderChanged>, Problem> {
        refund.on(id, "order.refund").await
    }
}

#[derive(Object)]
#[oai(example)]
struct CreateOrder {
    /// Who orders, as the caller knows them.
    #[oai(validator(min_length = 1, max_length = 100))]
    customer_id: String,
    #[oai(validator(min_items = 1, max_items = 1000))]
    items: Vec<OrderItem>,
    total: Amount,
    /// The caller's own number of the order; no two orders have the same.
    #[oai(validator(min_length = 1, max_length = 100))]
    external_id: Option<String>,
}

/// A line of an order.
#[derive(Object)]
struct OrderItem {
    /// What is ordered.
    #[oai(validator(min_length = 1, max_length = 100))]
    sku: String,
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    quantity: u32,
    /// Of one piece.
    unit_price: Option<Amount>,
}

#[derive(Object)]
#[oai(example)]
struct ReplaceOrderItems {
    #[oai(validator(min_items = 1, max_items = 1000))]
    items: Vec<OrderItem>,
    total: Amount,
}

/// Nothing has to be said.
#[derive(Object)]
struct ConfirmOrder {}

#[derive(Object)]
#[oai(example)]
struct PayOrder {
    /// The order's total.
    amount: Amount,
    /// Of the payment, where it was made.
    #[oai(validator(min_length = 1, max_length = 200))]
    reference: String,
}

#[derive(Object)]
#[oai(example)]
struct ShipOrder {
    #[oai(validator(min_length = 1, max_length = 100))]
    carrier: String,
    /// The carrier's number of the shipment.
    #[oai(validator(min_length = 1, max_length = 200))]
    tracking: String,
}

/// Nothing has to be said.
#[derive(Object)]
struct DeliverOrder {}

#[derive(Object)]
#[oai(example)]
struct CancelOrder {
    #[oai(validator(min_length = 1, max_length = 500))]
    reason: String,
}

#[derive(Object)]
#[oai(example)]
struct RefundOrder {
    amount: PositiveAmount,
    #[oai(validator(min_length = 1, max_length = 500))]
    reason: String,
}

/// Where an order is in its life.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
enum OrderStatus {
    Created,
    Confirmed,
    Paid,
    Shipped,
    Delivered,
    Cancelled,
    /// Paid back in full.
    Refunded,
}

#[derive(Object)]
struct OrderCreated {
    id: Uuid,
    status: OrderStatus,
}

#[derive(Object)]
struct OrderChanged {
    id: Uuid,
    status: OrderStatus,
    /// How many events the order has.
    version: i64,
}

fn tea() -> Vec<OrderItem> {
    vec![OrderItem { sku: "tea".into(), quantity: 2, unit_price: Some(Amount::example("4.50")) }]
}

/// An order as it stands.
#[derive(Object)]
struct Order {
    id: Uuid,
    customer_id: String,
    status: OrderStatus,
    total: Amount,
    paid: Amount,
    refunded: Amount,
    items: Vec<OrderItem>,
    #[oai(nullable)]
    external_id: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// How many events the order has.
    version: i64,
}

impl Example for CreateOrder {
    fn example() -> Self {
        Self { customer_id: "c-17".into(), items: tea(), total: Amount::example("9.00"), external_id: None }
    }
}

impl Example for ReplaceOrderItems {
    fn example() -> Self {
        Self { items: tea(), total: Amount::example("9.00") }
    }
}

impl Example for PayOrder {
    fn example() -> Self {
        Self { amount: Amount::example("9.00"), reference: "bank-0815".into() }
    }
}

impl Example for ShipOrder {
    fn example() -> Self {
        Self { carrier: "dhl".into(), tracking: "JD0146".into() }
    }
}

impl Example for CancelOrder {
    fn example() -> Self {
        Self { reason: "changed my mind".into() }
    }
}

impl Example for RefundOrder {
    fn example() -> Self {
        Self { amount: PositiveAmount::example("4.50"), reason: "one was damaged".into() }
    }
}
