//! `annals projections`: straight on the read models' database, or on folders alone.

mod building;
mod folders;
mod parked;
mod watch;

use std::collections::BTreeMap;

use annals::{
    config::Config,
    domain::admin::Action,
    log::LogReader,
    postgres,
    projector::{self, Going, Lag, Overview},
    rebuild::{self, Rebuild},
};
use anyhow::{Context, bail};
use clap::Subcommand;
use deadpool_postgres::Pool;
pub(crate) use folders::{check, new};
use serde::Serialize;
use serde_json::{Value, json};

use super::admin::{admin, asker};

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
    Show(Named),
    /// Creates a working folder to start from.
    #[command(after_help = "Example:\n  annals projections new shipments --event order.shipped")]
    New(folders::New),
    /// Checks folders without a server; tells every fault.
    #[command(after_help = "Example:\n  annals projections check orders")]
    Check(folders::Check),
    /// Builds a read model beside the one that serves, compares the two and drops it.
    #[command(after_help = "Example:\n  annals projections verify orders")]
    Verify(Named),
    /// Builds a read model anew from the whole log while the present one serves, and swaps it in.
    #[command(after_help = "Example:\n  annals projections rebuild orders --max-events-per-second 20000")]
    Rebuild(building::Rebuilding),
    /// Pauses a read model, or with --rebuild only its rebuild.
    #[command(after_help = "Example:\n  annals projections pause orders")]
    Pause(Target),
    /// Lets it go on, also one that an event had stopped; with --rebuild its rebuild.
    #[command(after_help = "Example:\n  annals projections resume orders")]
    Resume(Target),
    /// Ends the rebuild of a read model and drops what it made.
    #[command(after_help = "Example:\n  annals projections cancel orders")]
    Cancel(Named),
    /// Swaps in the rebuilt generation.
    #[command(after_help = "Example:\n  annals projections swap orders")]
    Swap(Named),
    /// Lets the previous generation serve again; it is as up to date as the present one.
    #[command(after_help = "Example:\n  annals projections rollback orders")]
    Rollback(Named),
    /// Drops a read model whose folder is gone: its rows, and all that is known of it.
    #[command(after_help = "Example:\n  annals projections drop orders")]
    Drop(Named),
    /// Lists the events that a read model has parked.
    #[command(after_help = "Example:\n  annals projections parked orders")]
    Parked(Named),
    /// Folds the events of a parked stream, in order, as far as that goes now.
    #[command(after_help = "Example:\n  annals projections retry orders order/01990a3c-…")]
    Retry(parked::ParkedStream),
    /// Leaves out the first event of a parked stream for good, and folds the others.
    #[command(after_help = "Example:\n  annals projections skip orders order/01990a3c-…")]
    Skip(parked::ParkedStream),
}

/// A read model.
#[derive(clap::Args)]
pub(crate) struct Named {
    name: String,
    /// As JSON, for machines.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Target {
    #[command(flatten)]
    named: Named,
    #[arg(long)]
    rebuild: bool,
}

/// Rebuilds that `show` tells of, the newest ones.
const REBUILDS_TOLD_MAX: usize = 50;

/// Does what is asked, on the database.
pub(crate) async fn run(config: Config, command: Projections) -> anyhow::Result<()> {
    let databases = &config.databases;
    let read = databases.read_models_as_projector();
    let read = postgres::pool(read, databases)?;
    match command {
        Projections::List { json } => list(&config, &read, json).await,
        // For people too.
        Projections::Show(Named { name, json: _ }) => {
            let rebuilds = rebuild::list(&read, Some(&name), None, REBUILDS_TOLD_MAX).await?;
            let mut shown = serde_json::to_value(one(&read, &name).await?)?;
            shown["lag"] = serde_json::to_value(lags(&config, &read).await?.remove(&name))?;
            shown["rebuilds"] = serde_json::to_value(rebuilds)?;
            print_json(&shown)
        }
        Projections::Verify(Named { name, json }) => building::verify(&config, &read, &name, json).await,
        Projections::Rebuild(asked) => building::anew(&config, &read, asked).await,
        Projections::Parked(Named { name, json }) => parked::list(&read, &name, json).await,
        Projections::Retry(asked) => parked::mend(&config, asked, false).await,
        Projections::Skip(asked) => parked::mend(&config, asked, true).await,
        Projections::Pause(Target { named, rebuild }) => {
            let action = if rebuild { Action::PauseRebuild } else { Action::Pause };
            act(&config, &read, named, action).await
        }
        Projections::Resume(Target { named, rebuild }) => {
            let action = if rebuild { Action::ResumeRebuild } else { Action::Resume };
            act(&config, &read, named, action).await
        }
        Projections::Cancel(named) => act(&config, &read, named, Action::CancelRebuild).await,
        Projections::Swap(named) => act(&config, &read, named, Action::SwapRebuild).await,
        Projections::Rollback(named) => act(&config, &read, named, Action::RollBack).await,
        Projections::Drop(named) => drop_one(&config, &read, named).await,
        Projections::New(_) | Projections::Check(_) => Ok(()),
    }
}

/// Does something about a read model, or about the rebuild of it that has not ended, and tells how it stands then.
async fn act(config: &Config, read: &Pool, named: Named, action: Action) -> anyhow::Result<()> {
    use Action::{CancelRebuild, PauseRebuild, ResumeRebuild, SwapRebuild};
    let Named { name, json } = &named;
    one(read, name).await?;
    let rebuild = match action {
        PauseRebuild | ResumeRebuild | CancelRebuild | SwapRebuild => Some(unfinished(read, name).await?.id),
        _ => None,
    };
    let asker = asker("projections");
    admin(config, vec![]).await?.act(&asker, action, name, rebuild, Value::Null).await?;
    match rebuild {
        Some(id) => {
            let rebuild = rebuild::get(read, id).await?;
            if *json {
                return print_json(&rebuild);
            }
            println!("rebuild {id} of {name}: {}", rebuild.state);
        }
        None => {
            let known = one(read, name).await?;
            if *json {
                return print_json(&known);
            }
            println!("{name}: {}, generation {} serves", state(&known), known.generation);
        }
    }
    Ok(())
}

/// Drops a read model. Only the folders here can be looked at; servers that have its folder make it anew.
async fn drop_one(config: &Config, read: &Pool, Named { name, json }: Named) -> anyhow::Result<()> {
    one(read, &name).await?;
    if config.projections_dir.join(&name).is_dir() {
        bail!(annals::admin::Error::HasFolder(name));
    }
    admin(config, vec![]).await?.drop_projection(&asker("projections drop"), None, &name).await?;
    if json {
        return print_json(&json!({ "projection": name, "dropped": true }));
    }
    println!("{name}: dropped");
    Ok(())
}

async fn list(config: &Config, read: &Pool, json: bool) -> anyhow::Result<()> {
    let projections = projector::overview(read, None).await?;
    let mut lags = lags(config, read).await?;
    if json {
        let mut shown = serde_json::to_value(&projections)?;
        for known in shown.as_array_mut().into_iter().flatten() {
            known["lag"] =
                serde_json::to_value(known["projection"].as_str().and_then(|name| lags.remove(name)))?;
        }
        return print_json(&shown);
    }
    println!(
        "{:<24} {:>7} {:>10} {:>12} {:>7} {:>8} {:>8}  state",
        "name", "version", "generation", "position", "parked", "lag", "seconds"
    );
    for known in projections {
        let Overview { projection, version, generation, position, parked, .. } = &known;
        let Lag { events, seconds } = lags.remove(projection).unwrap_or_default();
        println!(
            "{projection:<24} {version:>7} {generation:>10} {position:>12} {parked:>7} {events:>8} {seconds:>8.1}  {}",
            state(&known)
        );
    }
    Ok(())
}

/// How far each read model is behind the log.
async fn lags(config: &Config, read: &Pool) -> anyhow::Result<BTreeMap<String, Lag>> {
    let log = LogReader::new(postgres::pool(&config.databases.projector, &config.databases)?);
    Ok(projector::lags(&log, read).await?)
}

fn state(known: &Overview) -> String {
    match (&known.state, &known.rebuild) {
        (Going::Paused, _) => "paused".into(),
        (Going::Stopped, _) => "stopped".into(),
        (Going::Running, Some(rebuild)) if !["done", "cancelled"].contains(&&*rebuild.state) => {
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
    let found = rebuild::unfinished(read, name).await?;
    found.with_context(|| format!("`{name}` is not being rebuilt"))
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
