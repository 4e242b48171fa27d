//! The domains, a folder each. A new one is its folder and one line in [`registry`] and [`apis`] each.
//!
//! A domain is pure: no clock, no randomness, nothing of SQL, Kafka or HTTP outside its `api.rs`.

pub mod money;

pub mod admin;
pub mod counters;
pub mod orders;
pub mod projects;

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
