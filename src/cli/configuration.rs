//! `annals config`.

use annals::config::{Config, Origin};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// As JSON, for machines.
    #[arg(long)]
    json: bool,
}

/// Prints each setting in force and where it comes from.
pub(crate) fn print(config: &Config, options: Options) -> anyhow::Result<()> {
    if options.json {
        let settings: Vec<_> = config
            .shown
            .iter()
            .map(|shown| json!({ "name": shown.name, "value": shown.value, "origin": origin(shown.origin) }))
            .collect();
        println!("{}", serde_json::to_string_pretty(&settings)?);
        return Ok(());
    }
    for shown in &config.shown {
        let value = shown.value.as_deref().unwrap_or("(not set)");
        println!("{:<40} {value:<30} {}", shown.name, origin(shown.origin));
    }
    Ok(())
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Default => "default",
        Origin::File => "file",
        Origin::Environment => "environment",
        Origin::Flag => "flag",
    }
}
