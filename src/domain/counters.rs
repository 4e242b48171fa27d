//! Counters: incremented by anyone, reset by who knows the code.

mod aggregate;
mod commands;
mod events;

pub use aggregate::{Counter, CounterState};
pub use commands::CounterCommand;
pub use events::CounterEvent;

#[cfg(test)]
mod tests;
