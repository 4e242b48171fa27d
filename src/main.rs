//! The command line; no logic.

mod cli;

use std::process::ExitCode;

use clap::Parser;

/// Requests allocate on one thread and free on another; the system's allocator spends a quarter of a command's time on it, and
/// half of the relay's inside librdkafka, which uses this one too where its feature `override` is on (Cargo.toml).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
