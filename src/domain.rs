//! The domains, a folder each. A new one is its folder, its `pub mod`, and a line in [`registry`] and [`apis`] each.
//!
//! A domain is pure: no clock, no randomness, nothing of SQL, Kafka or HTTP outside its `api.rs`.

pub mod money;

pub mod admin;
pub mod counters;
pub mod orders;
pub mod projects;

/// The domain that docs/add-a-domain.md builds, compiled as if it stood here. Not called `notes`: that is the name for whoever
/// follows the page.
#[cfg(test)]
#[path = "../tests/add_a_domain/notes/mod.rs"]
pub mod notes_of_the_page;

use poem_openapi::OpenApi;

use crate::aggregate::{Registry, erase};

/// Every aggregate of this program.
pub fn registry() -> Registry {
    Registry::new(vec![
        erase::<orders::Order>(),
        erase::<projects::Project>(),
        erase::<counters::Counter>(),
        erase::<admin::Admin>(),
    ])
}

/// The routes of every domain.
pub(crate) fn apis() -> impl OpenApi {
    (orders::OrdersApi, projects::ProjectsApi, counters::CountersApi)
}

#[cfg(test)]
mod tests {
    use poem_openapi::OpenApiService;
    use serde_json::json;

    use super::notes_of_the_page::{NoteCommand, NoteState, NotesApi};

    /// A variant whose name is not the command's would show at its first use.
    #[test]
    fn every_command_has_a_variant() {
        let registry = super::registry();
        for aggregate in registry.aggregates() {
            for command in aggregate.commands() {
                let faults = aggregate.check(command.name, &json!({}));
                assert!(!faults.iter().any(|fault| fault.detail.contains("unknown variant")), "{faults:?}");
            }
        }
    }

    #[test]
    fn the_domain_of_the_page_has_routes() {
        let document = OpenApiService::new(NotesApi, "Notes", "1").spec();
        for path in
            ["/api/notes", "/api/notes/{id}", "/api/notes/{id}/archive", "#/components/schemas/WriteNote"]
        {
            assert!(document.contains(&format!("\"{path}\"")), "{path}: {document}");
        }
        assert_eq!(
            (NoteState::default(), NoteCommand::Archive {}),
            (NoteState::Absent, NoteCommand::Archive {})
        );
    }
}
