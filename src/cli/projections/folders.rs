//! Folders without a server: checking them, and making one to begin with.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use annals::{
    domain,
    projector::{Fault, Folder},
};
use anyhow::{Context, ensure};
use serde_json::json;

use crate::cli::WrongUse;

const DEFINITION: &str = include_str!("projection.toml");
const TABLE: &str = include_str!("table.sql");
const ON: &str = include_str!("on.sql");

#[derive(clap::Args)]
pub(crate) struct New {
    name: String,
    /// The event type it begins with.
    #[arg(long, value_name = "TYPE", default_value = "order.created")]
    event: String,
    /// The folder of projection folders; else the configured one.
    #[arg(long, value_name = "DIR")]
    pub(crate) projections: Option<PathBuf>,
    /// As JSON, for machines.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Check {
    /// These only.
    names: Vec<String>,
    /// The folder of projection folders; else the configured one.
    #[arg(long, value_name = "DIR")]
    pub(crate) projections: Option<PathBuf>,
    /// As JSON, for machines.
    #[arg(long)]
    json: bool,
}

/// Makes a folder that passes the check.
pub(crate) fn new(asked: &New, dir: &Path) -> anyhow::Result<()> {
    let stream = asked.event.split('.').next().unwrap_or_default();
    let filled = |template: &str| {
        let values = [("{{name}}", asked.name.as_str()), ("{{event}}", &asked.event), ("{{stream}}", stream)];
        values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
    };
    let files = BTreeMap::from([
        ("projection.toml".to_owned(), filled(DEFINITION)),
        ("table.sql".to_owned(), filled(TABLE)),
        (format!("on/{}.sql", asked.event), filled(ON)),
    ]);
    let faults = Folder::parse(files.clone()).map_or_else(|faults| faults, |folder| against(&folder));
    ensure!(faults.is_empty(), WrongUse(told(&asked.name, &faults)));
    let path = dir.join(&asked.name);
    ensure!(!path.exists(), "{} is there already", path.display());
    let files: Vec<_> = files.into_iter().map(|(file, text)| (path.join(file), text)).collect();
    for (file, text) in &files {
        let dir = file.parent().context("each file is in the folder")?;
        fs::create_dir_all(dir)
            .and_then(|()| fs::write(file, text))
            .with_context(|| file.display().to_string())?;
    }
    let made: Vec<_> = files.iter().map(|(file, _)| file.display().to_string()).collect();
    if asked.json {
        println!("{}", json!({ "name": asked.name, "files": made }));
    } else {
        println!("{}", made.join("\n"));
    }
    eprintln!("the next start of a server builds it");
    Ok(())
}

/// Tells every fault of every folder.
pub(crate) fn check(asked: &Check, dir: &Path) -> anyhow::Result<()> {
    let unreadable = |error| WrongUse(format!("{}: {error}", dir.display()));
    let mut loaded = Folder::load_all(dir).map_err(unreadable)?;
    for name in &asked.names {
        let is_there = loaded.iter().any(|(known, _)| known == name);
        ensure!(is_there, WrongUse(format!("there is no folder {}", dir.join(name).display())));
    }
    loaded.retain(|(name, _)| asked.names.is_empty() || asked.names.contains(name));
    let checked: Vec<(String, Vec<Fault>)> = loaded
        .into_iter()
        .map(|(name, folder)| (name, folder.map_or_else(|faults| faults, |folder| against(&folder))))
        .collect();
    if asked.json {
        let found = checked.iter().map(|(name, faults)| json!({ "name": name, "faults": faults }));
        println!("{}", serde_json::to_string_pretty(&found.collect::<Vec<_>>())?);
    } else {
        for (name, faults) in &checked {
            println!("{}", if faults.is_empty() { format!("{name}: ok") } else { told(name, faults) });
        }
    }
    let wrong = checked.iter().filter(|(_, faults)| !faults.is_empty()).count();
    ensure!(wrong == 0, "{wrong} of {} folders have faults", checked.len());
    Ok(())
}

/// What this program's domains have against a folder.
fn against(folder: &Folder) -> Vec<Fault> {
    folder.check(&domain::registry())
}

pub(super) fn told(name: &str, faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{name}/{fault}")).collect::<Vec<_>>().join("\n")
}
