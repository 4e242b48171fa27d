//! Projects: created, changed, deleted; each with a name that no other has.

mod aggregate;
mod api;
mod commands;
mod events;
mod schemas;

pub use aggregate::{Project, ProjectState};
pub(crate) use api::ProjectsApi;
pub use commands::ProjectCommand;
pub use events::ProjectEvent;

#[cfg(test)]
mod tests;
