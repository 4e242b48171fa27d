//! The command line; no logic.

mod cli;

use std::process::ExitCode;

/// Requests allocate on one thread and free on another; the system's allocator spends a quarter of a command's time on it. In
/// librdkafka it was half of the relay's time, so on Linux C allocates by this one too (feature `override`, Cargo.toml).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Cli::read())
}
