//! The domains, a folder each. A new one is its folder and one line in [`registry`].
//!
//! A domain is pure: no clock, no randomness, nothing of SQL, Kafka or HTTP outside its `api.rs`.

pub mod money;

pub mod counters;
pub mod orders;
pub mod projects;

use crate::aggregate::{Registry, erase};

/// Every aggregate of this program.
pub fn registry() -> Registry {
    Registry::new(vec![
        erase::<orders::Order>(),
        erase::<projects::Project>(),
        erase::<counters::Counter>(),
    ])
}
