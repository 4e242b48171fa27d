//! The command line; no logic.

use std::process::ExitCode;

use annals::{bench, config::Config, postgres};
use clap::{Parser, Subcommand};

/// An event-sourced backend: an append-only log in Postgres, relayed to Kafka, folded into read models.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The configuration file; `annals.toml` where it exists.
    #[arg(long, global = true)]
    config: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Brings the database's schema up to date.
    Migrate,
    /// Measures this installation, on databases of its own.
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// Appends of new streams.
    Append(bench::append::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match Config::load(cli.config, vec![]) {
        Ok(config) => config,
        Err(faults) => {
            eprintln!("annals: {faults}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads can be started");
    match runtime.block_on(run(cli.command, config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("annals: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, config: Config) -> anyhow::Result<()> {
    match command {
        Command::Migrate => {
            let timeout = config.databases.tcp_user_timeout;
            postgres::migrate_log(&config.databases.migrator, timeout).await?;
            Ok(())
        }
        Command::Bench(Bench::Append(options)) => bench::append::run(config, options).await,
    }
}
