//! Annals: an event-sourced backend. The modules stand in the order of the flow:
//! command → event → log → relay → Kafka → projector → read model.

pub mod config;

pub mod aggregate;
pub mod domain;

pub mod command;

pub mod log;

pub mod kafka;
pub mod relay;

pub mod projector;
pub mod read_model;
pub mod rebuild;

pub mod admin;
pub mod audit;

pub mod api;
pub mod asyncapi;

pub mod serve;

pub mod json;
pub mod page;
pub mod postgres;
mod tls;
pub mod trace;
mod trouble;
mod uninterrupted;

pub mod bench;
