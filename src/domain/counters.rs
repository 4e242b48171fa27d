//! Counters: incremented by anyone, reset by who knows the code.

mod aggregate;
mod api;
mod commands;
mod events;
mod schemas;

pub use aggregate::{Counter, CounterState};
pub(crate) use api::CountersApi;
pub use commands::CounterCommand;
pub use events::CounterEvent;

#[cfg(test)]
mod tests;
