//! `annals command`.

use annals::{
    api,
    command::{Request, contract::NotDone},
    config::Config,
    log::Version,
    serve::{folders, pipeline},
};
use serde_json::Value;
use uuid::Uuid;

use super::admin::user;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The command, such as order.confirm.
    r#type: String,
    /// Its body.
    #[arg(long, value_name = "BODY", default_value = "{}")]
    json: String,
    /// What it is for; nothing where the command begins something.
    #[arg(long, value_name = "UUID")]
    id: Option<Uuid>,
    /// A repeat with the same key gets the first answer.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Only if it is at this version.
    #[arg(long, value_name = "VERSION")]
    if_match: Option<i64>,
    /// Whose command it is, after `cli:`; the system's user where nobody is named.
    #[arg(long, value_name = "WHO")]
    r#as: Option<String>,
}

/// The problem of a command that was not done, as JSON.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(crate) struct Refused(Value);

/// A body that is none.
#[derive(Debug, thiserror::Error)]
#[error("--json is no JSON: {0}")]
pub(crate) struct NoJson(#[from] serde_json::Error);

/// Carries a command out, straight on the database, and prints what became of it; the problem goes to stderr.
pub(crate) async fn run(config: Config, options: Options) -> anyhow::Result<()> {
    let body: Value = serde_json::from_str(&options.json).map_err(NoJson)?;
    let document = api::document::of_program(&folders(&config.projections_dir)?);
    let contract = api::contract(&document, config.body_limit_bytes);
    let commands = pipeline(&config).await?;
    let command_id = Uuid::now_v7();
    let request = Request {
        command_id: Some(command_id),
        stream_id: options.id,
        body,
        sent: None,
        // Never the name of a key or token: those the API has verified.
        principal: format!("cli:{}", options.r#as.unwrap_or_else(user)),
        idempotency_key: options.idempotency_key,
        correlation_id: command_id.to_string(),
        causation_id: None,
        traceparent: None,
        if_match: options.if_match.map(|version| vec![Version(version)]),
        target: format!("cli {} {}", options.r#type, options.id.unwrap_or_default()),
        command: options.r#type,
    };
    let outcome = contract.execute(&commands, request).await;
    let command_id = outcome.as_ref().map_or(command_id, |answer| answer.command_id);
    let reply = contract.reply(command_id, outcome.map_err(NotDone::Failed));
    match reply.problem {
        Some(problem) => Err(Refused(problem).into()),
        None => {
            println!("{}", serde_json::to_string(&reply)?);
            Ok(())
        }
    }
}
