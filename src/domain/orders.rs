//! Orders: created, changed, confirmed, paid, shipped, delivered, cancelled, refunded.

mod aggregate;
mod api;
mod commands;
mod events;
mod schemas;

pub use aggregate::{Order, OrderState, Status};
pub(crate) use api::OrdersApi;
pub use commands::OrderCommand;
pub use events::{Item, OrderEvent};

#[cfg(test)]
mod tests;
