//! Orders: created, changed, confirmed, paid, shipped, delivered, cancelled, refunded.

mod aggregate;
mod commands;
mod events;

pub use aggregate::{Order, OrderState, Status};
pub use commands::OrderCommand;
pub use events::{Item, OrderEvent};

#[cfg(test)]
mod tests;
