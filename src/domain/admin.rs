//! What admins do, as events: so auditors see who did what. A stream per key and per projection.
//!
//! Only the program itself sends these commands, for an admin whom it knows; `crate::admin` applies each event.

mod aggregate;
mod commands;
mod events;
mod schemas;

pub use aggregate::{Admin, AdminState};
pub use commands::AdminCommand;
pub use events::{Action, AdminEvent};

#[cfg(test)]
mod tests;
