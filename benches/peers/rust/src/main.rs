//! Drivers of the peers that are written in Rust or SQL, of the limits, and of HTTP. Every run prints one line of JSON.
//!
//! What they share on the command line with the drivers in other languages is in [`store::Options`]. None of them judges;
//! each fails where the database does not hold what was acknowledged.

mod clients;
mod copy;
mod debezium;
mod http;
mod insert;
mod message_db;
mod postgres_es;
mod serial;
mod serve;
mod store;

use clap::Parser;

/// Measures one workload on one peer and prints one line of JSON.
#[derive(Parser)]
enum Cli {
    /// A store of events.
    Store(store::Options),
    /// Runs the hand-written HTTP handler until it is ended.
    Serve(serve::Options),
    /// Sends commands to a running annals, a fixed number of them.
    Post(http::Post),
    /// Sends commands to a running annals at a fixed rate and waits until each is visible.
    Visible(http::Visible),
    /// Debezium: makes the outbox with a backlog in it.
    DebeziumPrepare(debezium::Prepare),
    /// Debezium: takes the backlog from its topic, then measures latency.
    DebeziumMeasure(debezium::Measure),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let result = match Cli::parse() {
        Cli::Store(options) => store::run(options).await?,
        Cli::Serve(options) => return serve::run(options).await,
        Cli::Post(options) => http::post(options).await?,
        Cli::Visible(options) => http::visible(options).await?,
        Cli::DebeziumPrepare(options) => debezium::prepare(options).await?,
        Cli::DebeziumMeasure(options) => debezium::measure(options).await?,
    };
    println!("{result}");
    Ok(())
}
