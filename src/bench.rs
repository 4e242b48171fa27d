//! `annals bench`: our own figures, on databases made for the purpose and dropped afterwards.
//!
//! Prints what it measured and judges nothing: machines differ and are noisy. What to compare with is in
//! docs/performance.md.

pub mod append;
pub mod command;
pub mod growth;
pub mod projection;
pub mod relay;

mod clients;
mod consumer;
mod load;
mod scratch;
mod table;

pub use scratch::Scratch;
