//! The commands, each in a file of its own. Exit codes: 0 done, 1 failed, 2 wrong use or configuration.

mod admin;
mod audit;
mod command;
mod configuration;
mod keys;
mod migrate;
mod projections;
mod relay;
mod serve;
mod set;
mod telemetry;

use std::{
    panic,
    path::PathBuf,
    process::{self, ExitCode},
};

use annals::{
    api, asyncapi, bench,
    config::{Config, Faults},
    domain,
    serve::{Role, UnfitFolders, folders},
};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use telemetry::Telemetry;
use tokio::time::Instant;
use tracing::warn;

/// An event-sourced backend: an append-only log in Postgres, relayed to Kafka, folded into read models.
///
/// Settings come from annals.toml, from ANNALS_… variables and from --set, later ones winning; `annals config` shows
/// what is in force.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Example:\n  annals serve --role relay --set relay_mode=low-latency"
)]
pub(crate) struct Cli {
    /// The configuration file; annals.toml where it exists.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What was given with `--set`.
    #[arg(skip)]
    settings: Vec<(String, String)>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the program: all parts in one process, or those named.
    #[command(after_help = "Example:\n  annals serve --role api --role relay")]
    Serve(serve::Options),
    /// Runs projection workers alone; the same as `serve --role projector`.
    #[command(after_help = "Example:\n  annals worker")]
    Worker,
    /// Brings the database's schema up to date.
    #[command(after_help = "Example:\n  ANNALS_DATABASE_URL=postgres://… annals migrate")]
    Migrate(migrate::Options),
    /// Prints the OpenAPI document, with the read models of the projection folders.
    #[command(after_help = "Example:\n  annals openapi > openapi.yaml")]
    Openapi {
        /// The folder of projection folders; else the configured one.
        #[arg(long, value_name = "DIR")]
        projections: Option<PathBuf>,
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Prints the AsyncAPI document: topics, and the records in them.
    #[command(after_help = "Example:\n  annals asyncapi > asyncapi.yaml")]
    Asyncapi {
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Makes, lists and revokes API keys, straight in the database: that is how the first one is made.
    #[command(subcommand, after_help = "Example:\n  annals keys create 'shop backend' --role consumer")]
    Keys(keys::Keys),
    /// Shows how the relay is doing, and compares its topics with the log.
    #[command(subcommand, after_help = "Example:\n  annals relay status")]
    Relay(relay::Relay),
    /// Shows, checks, makes and rebuilds read models.
    #[command(subcommand, after_help = "Example:\n  annals projections list")]
    Projections(projections::Projections),
    /// Verifies the log, or exports its events.
    #[command(subcommand, after_help = "Example:\n  annals audit verify")]
    Audit(audit::Audit),
    /// Carries a command out, straight on the database, and prints what became of it.
    #[command(
        name = "command",
        after_help = "Example:\n  annals command project.create --json '{\"name\": \"apollo\"}'"
    )]
    Execute(command::Options),
    /// Shows the configuration in force; secrets are hidden.
    #[command(after_help = "Example:\n  annals config --json")]
    Config(configuration::Options),
    /// Measures this installation, on databases of its own.
    #[command(subcommand, after_help = "Example:\n  annals bench append --clients 1,64")]
    Bench(Bench),
    /// Prints a script that completes commands and flags in a shell.
    #[command(after_help = "Example:\n  annals completions bash > /etc/bash_completion.d/annals")]
    Completions { shell: clap_complete::Shell },
}

#[derive(Subcommand)]
enum Bench {
    /// Appends of new streams, by a number of clients.
    #[command(after_help = "Example:\n  annals bench append --clients 1,64 --seconds 10")]
    Append(bench::append::Options),
    /// Folding the whole log into a read model, beside the naive way and the limit.
    #[command(after_help = "Example:\n  annals bench projection --orders 200000")]
    Projection(bench::projection::Options),
    /// The same work on logs of different lengths: folding, rebuilding, appending.
    #[command(after_help = "Example:\n  annals bench growth --events 100000,1000000")]
    Growth(bench::growth::Options),
    /// Commands on aggregates that exist, by a number of clients.
    #[command(after_help = "Example:\n  annals bench command --clients 64 --streams 1")]
    Command(bench::command::Options),
    /// The relay: how fast a backlog drains, and how long after its commit a consumer has an event.
    #[command(after_help = "Example:\n  annals bench relay --mode exactly-once --rate 1000 --seconds 10")]
    Relay(bench::relay::Options),
}

impl Cli {
    /// Reads the command line; where that is wrong, the process ends here.
    pub(crate) fn read() -> Self {
        let matches = Self::program().get_matches();
        let settings = set::given(&matches);
        Self::from_arg_matches(&matches).map_or_else(|error| error.exit(), |read| Self { settings, ..read })
    }

    /// What it may look like.
    fn program() -> clap::Command {
        set::add(Self::command())
    }
}

/// Ends the process quietly where nobody reads its output any more, as after `| head`: `println!` panics then.
fn end_with_the_reader() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let said = panic.payload().downcast_ref::<String>();
        if said.is_some_and(|said| said.starts_with("failed printing to stdout: Broken pipe")) {
            process::exit(0);
        }
        before(panic);
    }));
}

/// Runs the command; its errors go to stderr.
pub(crate) fn run(cli: Cli) -> ExitCode {
    end_with_the_reader();
    let dir = |asked: Option<PathBuf>| match asked {
        Some(dir) => anyhow::Ok(dir),
        None => Ok(Config::projections_dir(cli.config.clone(), cli.settings.clone())?),
    };
    // These need no database, and so no whole configuration.
    match cli.command {
        Command::Openapi { projections, json } => {
            let folders = dir(projections).and_then(|dir| Ok(folders(&dir)?));
            return ended(folders.map(|folders| match json {
                true => println!("{}", api::document::of_program(&folders)),
                false => print!("{}", api::document::yaml(&folders)),
            }));
        }
        Command::Asyncapi { json } => {
            match json {
                true => println!("{}", asyncapi::document(&domain::registry())),
                false => print!("{}", asyncapi::yaml(&domain::registry())),
            }
            return ExitCode::SUCCESS;
        }
        Command::Projections(projections::Projections::New(new)) => {
            return ended(dir(new.projections.clone()).and_then(|dir| projections::new(&new, &dir)));
        }
        Command::Projections(projections::Projections::Check(check)) => {
            return ended(dir(check.projections.clone()).and_then(|dir| projections::check(&check, &dir)));
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::program(), "annals", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let config = match Config::load(cli.config, cli.settings) {
        Ok(config) => config,
        Err(faults) => {
            eprintln!("annals: {faults}");
            return ExitCode::from(2);
        }
    };
    // Dropped last: by then every span has ended.
    let _telemetry = match Telemetry::start(&config.log) {
        Ok(telemetry) => telemetry,
        Err(error) => return ended(Err(error)),
    };
    for variable in &config.unknown {
        warn!(variable, "no setting has this name: `annals config` lists them all");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(error.into())),
    };
    let patience = config.shutdown_timeout;
    let result = runtime.block_on(execute(cli.command, config));
    // Threads may be blocked, as by brokers that do not answer.
    let left = result.as_ref().map_or(patience, |deadline| deadline.duration_since(Instant::now()));
    runtime.shutdown_timeout(left);
    ended(result.map(drop))
}

/// What was asked for cannot be meant, or the configuration does not let it: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongUse(String);

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let is_wrong_use = error.is::<command::NoJson>()
                || error.is::<UnfitFolders>()
                || error.is::<Faults>()
                || error.is::<WrongUse>();
            match error.downcast_ref::<command::Refused>() {
                // For machines: nothing but the problem.
                Some(refused) => eprintln!("{refused}"),
                None => eprintln!("annals: {error:#}"),
            }
            if is_wrong_use { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Does what is asked; tells until when what is left may take.
async fn execute(command: Command, config: Config) -> anyhow::Result<Instant> {
    let patience = config.shutdown_timeout;
    match command {
        Command::Serve(options) => return serve::run(config, options.roles()).await,
        Command::Worker => return serve::run(config, vec![Role::Projector]).await,
        Command::Migrate(options) => migrate::run(&config, options).await,
        Command::Execute(options) => command::run(config, options).await,
        Command::Projections(command) => projections::run(config, command).await,
        Command::Keys(keys) => keys::run(config, keys).await,
        Command::Relay(relay) => relay::run(config, relay).await,
        Command::Audit(command) => audit::run(config, command).await,
        Command::Config(options) => configuration::print(&config, options),
        Command::Bench(Bench::Append(options)) => bench::append::run(config, options).await,
        Command::Bench(Bench::Projection(options)) => bench::projection::run(config, options).await,
        Command::Bench(Bench::Growth(options)) => bench::growth::run(config, options).await,
        Command::Bench(Bench::Command(options)) => bench::command::run(config, options).await,
        Command::Bench(Bench::Relay(options)) => bench::relay::run(config, options).await,
        Command::Openapi { .. } | Command::Asyncapi { .. } | Command::Completions { .. } => Ok(()),
    }?;
    Ok(Instant::now() + patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They serve until they are ended, or print a script.
    const FOR_PEOPLE: [&str; 3] = ["serve", "worker", "completions"];

    /// The commands below one, and those below them, by name.
    fn below(command: &clap::Command, name: &str) -> Vec<(String, clap::Command)> {
        let found = command.get_subcommands().flat_map(|inner| {
            let name = format!("{name} {}", inner.get_name()).trim().to_owned();
            let further = below(inner, &name);
            [(name, inner.clone())].into_iter().chain(further)
        });
        found.collect()
    }

    #[test]
    fn every_command_has_an_example_and_speaks_to_machines() {
        let program = Cli::program();
        program.clone().debug_assert();
        let example = |command: &clap::Command| command.get_after_help().map(ToString::to_string);
        assert!(example(&program).expect("an example").contains("--set "));
        for (name, command) in below(&program, "") {
            let example = example(&command).unwrap_or_default();
            assert!(example.contains(&format!("annals {name}")), "{name}: {example}");
            if command.has_subcommands() {
                continue;
            }
            let speaks = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
            let is_for_people = FOR_PEOPLE.contains(&name.as_str());
            assert!(speaks != is_for_people, "{name}: --json {speaks}");
        }
    }
}
