//! `annals projections`: straight on the read models' database, or on folders alone.

mod folders;
mod parked;
mod watch;

use annals::{
    config::Config,
    log::LogReader,
    postgres,
    projector::{self, Folder, Going, Overview},
    rebuild::{self, Options, Rebuild, Swap},
};
use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use deadpool_postgres::Pool;
use serde::Serialize;
use uuid::Uuid;

#[derive(Subcommand)]
pub(crate) enum Projections {
    /// Lists all read models, and how each stands.
    #[command(after_help = "Example:\n  annals projections list")]
    List {
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Shows a read model: its generations, its place in the log, its rebuilds.
    #[command(after_help = "Example:\n  annals projections show orders")]
    Show { name: String },
    /// Makes a folder that works, to begin with.
    #[command(after_help = "Example:\n  annals projections new shipments --event order.shipped")]
    New(folders::New),
    /// Checks folders without a server; tells every fault.
    #[command(after_help = "Example:\n  annals projections check orders")]
    Check(folders::Check),
    /// Builds a read model beside the one that serves, compares the two and drops it.
    #[command(after_help = "Example:\n  annals projections verify orders")]
    Verify {
        name: String,
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Builds a read model anew from the whole log while the present one serves, and swaps it in.
    #[command(after_help = "Example:\n  annals projections rebuild orders --max-events-per-second 20000")]
    Rebuild(Rebuilding),
    /// Lets a read model stand still, or with --rebuild only its rebuild.
    #[command(after_help = "Example:\n  annals projections pause orders")]
    Pause(Target),
    /// Lets it go on.
    #[command(after_help = "Example:\n  annals projections resume orders")]
    Resume(Target),
    /// Ends the rebuild of a read model and drops what it made.
    #[command(after_help = "Example:\n  annals projections cancel orders")]
    Cancel { name: String },
    /// Lets the rebuilt generation serve that waits for it.
    #[command(after_help = "Example:\n  annals projections swap orders")]
    Swap { name: String },
    /// Lets the generation that served before serve again, as fresh as the present one.
    #[command(after_help = "Example:\n  annals projections rollback orders")]
    Rollback { name: String },
    /// Lists the events that a read model has set apart.
    #[command(after_help = "Example:\n  annals projections parked orders")]
    Parked {
        name: String,
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Folds the events of a stream that is set apart, in order, as far as that goes now.
    #[command(after_help = "Example:\n  annals projections retry orders order/01990a3c-…")]
    Retry(parked::Apart),
    /// Leaves the first event of a stream that is set apart out for good, and folds the others.
    #[command(after_help = "Example:\n  annals projections skip orders order/01990a3c-…")]
    Skip(parked::Apart),
}

#[derive(clap::Args)]
pub(crate) struct Rebuilding {
    #[arg(required_unless_present = "all")]
    name: Option<String>,
    /// Every read model.
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// Says what it would take, and makes nothing.
    #[arg(long)]
    dry_run: bool,
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_events_per_second: Option<u32>,
    /// Transactions at once.
    #[arg(long, default_value_t = Options::default().workers, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Waits for `swap` when it is whole.
    #[arg(long)]
    manual: bool,
    /// As JSON, for machines.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Target {
    name: String,
    #[arg(long)]
    rebuild: bool,
}

impl Projections {
    /// Whether it needs neither configuration nor server.
    pub(crate) fn is_offline(&self) -> bool {
        matches!(self, Self::New(_) | Self::Check(_))
    }

    pub(crate) fn offline(self) -> anyhow::Result<()> {
        match self {
            Self::New(new) => folders::new(&new),
            Self::Check(check) => folders::check(&check),
            _ => Ok(()),
        }
    }
}

/// Does what is asked, on the database.
pub(crate) async fn run(config: Config, command: Projections) -> anyhow::Result<()> {
    let databases = &config.databases;
    let read = databases.read_models.as_ref().unwrap_or(&databases.projector);
    let read = postgres::pool(read, databases)?;
    match command {
        Projections::List { json } => list(&read, json).await,
        Projections::Show { name } => {
            let rebuilds = rebuild::list(&read, Some(&name)).await?;
            let mut shown = serde_json::to_value(one(&read, &name).await?)?;
            shown["rebuilds"] = serde_json::to_value(rebuilds)?;
            print_json(&shown)
        }
        Projections::Verify { name, json } => {
            let options = Options { swap: Swap::Never, ..Options::default() };
            let begun = rebuild::start(&read, Uuid::now_v7(), &name, None, options).await?;
            watch::all(&read, vec![begun], json).await
        }
        Projections::Rebuild(asked) => build_anew(&config, &read, asked).await,
        Projections::Pause(Target { name, rebuild: true }) => {
            told(rebuild::pause(&read, unfinished(&read, &name).await?.id).await?)
        }
        Projections::Resume(Target { name, rebuild: true }) => {
            told(rebuild::resume(&read, unfinished(&read, &name).await?.id).await?)
        }
        Projections::Pause(Target { name, .. }) => set_paused(&read, &name, true).await,
        Projections::Resume(Target { name, .. }) => set_paused(&read, &name, false).await,
        Projections::Cancel { name } => {
            told(rebuild::cancel(&read, unfinished(&read, &name).await?.id).await?)
        }
        Projections::Swap { name } => told(rebuild::swap(&read, unfinished(&read, &name).await?.id).await?),
        Projections::Rollback { name } => {
            println!("generation {} serves", rebuild::rollback(&read, &name).await?);
            Ok(())
        }
        Projections::Parked { name, json } => parked::list(&read, &name, json).await,
        Projections::Retry(asked) => parked::mend(&config, &read, asked, false).await,
        Projections::Skip(asked) => parked::mend(&config, &read, asked, true).await,
        Projections::New(_) | Projections::Check(_) => Ok(()),
    }
}

async fn list(read: &Pool, json: bool) -> anyhow::Result<()> {
    let projections = projector::overview(read, None).await?;
    if json {
        return print_json(&projections);
    }
    println!(
        "{:<24} {:>7} {:>10} {:>12} {:>7}  state",
        "name", "version", "generation", "position", "parked"
    );
    for known in projections {
        let Overview { projection, version, generation, position, parked, .. } = &known;
        println!(
            "{projection:<24} {version:>7} {generation:>10} {position:>12} {parked:>7}  {}",
            state(&known)
        );
    }
    Ok(())
}

fn state(known: &Overview) -> String {
    match (&known.state, &known.rebuild) {
        (Going::Paused, _) => "paused".into(),
        (Going::Stopped, _) => "stopped".into(),
        (Going::Running, Some(rebuild)) if !["done", "failed", "cancelled"].contains(&&*rebuild.state) => {
            format!("running, rebuild {}", rebuild.state)
        }
        (Going::Running, _) => "running".into(),
    }
}

async fn one(read: &Pool, name: &str) -> anyhow::Result<Overview> {
    let mut found = projector::overview(read, Some(name)).await?;
    found
        .pop()
        .with_context(|| format!("there is no read model `{name}`; `annals projections list` shows all"))
}

/// The rebuild of a read model that has not ended.
async fn unfinished(read: &Pool, name: &str) -> anyhow::Result<Rebuild> {
    let rebuilds = rebuild::list(read, Some(name)).await?;
    let found = rebuilds.into_iter().find(|rebuild| !rebuild.state.is_final());
    found.with_context(|| format!("`{name}` is not being rebuilt"))
}

async fn set_paused(read: &Pool, name: &str, paused: bool) -> anyhow::Result<()> {
    ensure!(projector::set_paused(read, name, paused).await?, "there is no read model `{name}`");
    Ok(())
}

fn told(rebuild: Rebuild) -> anyhow::Result<()> {
    println!("rebuild {} of {}: {}", rebuild.id, rebuild.projection, rebuild.state);
    Ok(())
}

async fn build_anew(config: &Config, read: &Pool, asked: Rebuilding) -> anyhow::Result<()> {
    let names = match &asked.name {
        Some(name) => vec![name.clone()],
        None => projector::overview(read, None).await?.into_iter().map(|known| known.projection).collect(),
    };
    if asked.dry_run {
        let log = LogReader::new(postgres::pool(&config.databases.projector, &config.databases)?);
        let mut estimates = Vec::new();
        for name in &names {
            estimates.push(rebuild::estimate(read, &log, name).await?);
        }
        return print_json(&estimates);
    }
    let options = Options {
        workers: asked.workers,
        max_events_per_second: asked.max_events_per_second,
        swap: if asked.manual { Swap::Manual } else { Swap::Auto },
    };
    let mut begun = Vec::new();
    for name in &names {
        let path = config.projections_dir.join(name);
        let folder = match path.is_dir().then(|| Folder::load(&path)) {
            Some(Err(faults)) => bail!("{}", folders::told(name, &faults)),
            Some(Ok(folder)) => Some(folder),
            None => None,
        };
        begun.push(rebuild::start(read, Uuid::now_v7(), name, folder.as_ref(), options).await?);
    }
    watch::all(read, begun, asked.json).await
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
