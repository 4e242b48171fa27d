//! The REST API: what callers send becomes commands and reads, what comes of them becomes answers.
//!
//! A request passes, in this order: who calls (401), with which role (403), path and method (404, 405), type, size and
//! form of the body (415, 413, 400), all its faults at once (422); then the command pipeline decides. Leaves deciding
//! to `command`, reading to the read models and every statement on the log to `log`.

mod admin;
mod answer;
mod audit;
pub mod auth;
mod body;
mod commands;
mod contract;
mod cors;
pub mod document;
mod drain;
mod edge;
mod headers;
pub mod health;
mod listen;
pub(crate) mod money;
mod open;
mod parameters;
pub(crate) mod problem;
mod rate;
pub(crate) mod read;
mod read_models;
pub(crate) mod reply;
mod routes;
pub mod schema;
pub(crate) mod sent;
mod token;
mod trace;

use std::{collections::HashMap, sync::Arc};

use auth::{Authenticator, KeyVerifier, TokenVerifier};
pub use contract::contract;
use cors::Cors;
use deadpool_postgres::Pool;
use edge::Edge;
pub use open::Open;
use poem::{Endpoint, EndpointExt, Request, Response};
use poem_openapi::OpenApi;
use problem::Problem;
use rate::Rates;
use schema::Schemas;
use token::Tokens;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    admin::Admin,
    aggregate::Registry,
    audit::Audit,
    command::Commands,
    config::{self, Config},
    log::LogReader,
    projector::Folder,
    read_model::ReadModels,
};

/// What the API stands on.
pub struct Deps {
    pub registry: Arc<Registry>,
    pub commands: Commands,
    pub log: LogReader,
    pub log_id: Uuid,
    pub read_models: ReadModels,
    pub audit: Audit,
    pub admin: Admin,
    /// What read models there are.
    pub folders: Vec<Folder>,
    /// Where keys are looked up; of the writer, since it notes their use.
    pub keys: Pool,
    pub open: Open,
}

/// What every request may need, behind one pointer.
struct Core {
    authenticator: Authenticator,
    registry: Arc<Registry>,
    commands: Commands,
    schemas: Schemas,
    tokens: Tokens,
    read_models: ReadModels,
    audit: Audit,
    admin: Admin,
    reads: config::Reads,
    body: body::Limits,
    /// Cancelled when no new requests should come; streams end then.
    draining: CancellationToken,
}

/// What the outer layer puts beside each request.
fn core(request: &Request) -> &Arc<Core> {
    request.data().expect("the outer layer puts it there")
}

/// Serves until `shutdown`, then answers what it had taken on, for three quarters of `shutdown_timeout`: the rest is for those
/// who carry events on. The caller binds the listener, and so knows its address.
pub async fn serve(deps: Deps, config: &Config, listener: TcpListener, shutdown: CancellationToken) {
    let app = app(deps, config, shutdown.clone());
    listen::serve(app, listener, &config.api, config.shutdown_timeout * 3 / 4, shutdown).await;
}

/// Serves health and metrics alone until `shutdown`: for those who watch processes, whatever part of the program they run.
pub async fn serve_open(open: Open, config: &Config, listener: TcpListener, shutdown: CancellationToken) {
    let mut table = HashMap::new();
    open.add_routes(&mut table);
    let app = routes::assemble(table).around(async |routes, request| {
        let path = request.uri().path().to_owned();
        Ok(routes.call(request).await.unwrap_or_else(|error| Problem::of(error).into_response(&path)))
    });
    listen::serve(app, listener, &config.api, config.shutdown_timeout, shutdown).await;
}

/// The whole API as one endpoint. `draining` tells that no new requests should come.
pub fn app(
    deps: Deps,
    config: &Config,
    draining: CancellationToken,
) -> impl Endpoint<Output = Response> + use<> {
    let document = document::of_program(&deps.folders);
    let mut table = HashMap::new();
    document::apis().add_routes(&mut table);
    admin::add_routes(&mut table);
    audit::add_routes(&mut table);
    read_models::add_routes(&mut table, &deps.folders);
    deps.open.add_routes(&mut table);
    open::add_documents(&mut table, &document);
    let core = Core {
        authenticator: match config.auth.clone() {
            config::Auth::Dev => Authenticator::Dev,
            config::Auth::Keys => Authenticator::Keys(KeyVerifier::new(deps.keys, config.api.key_memory)),
            config::Auth::Jwt(jwt) => Authenticator::Jwt(Box::new(TokenVerifier::new(*jwt))),
        },
        registry: deps.registry,
        commands: deps.commands,
        schemas: Schemas::of(&document),
        tokens: Tokens::new(deps.log_id, deps.log),
        read_models: deps.read_models,
        audit: deps.audit,
        admin: deps.admin,
        reads: config.reads.clone(),
        body: body::Limits { bytes_max: config.body_limit_bytes, time_max: config.api.body_timeout },
        draining,
    };
    Edge {
        routes: Arc::new(routes::assemble(table)),
        core: Arc::new(core),
        rates: match &config.auth {
            config::Auth::Dev => Rates::off(),
            config::Auth::Keys | config::Auth::Jwt(_) => Rates::new(&config.api.rates),
        },
        limits: config.api.clone(),
        cors: Cors::new(config.cors_origins.clone()),
    }
}
