//! The API in this process, on a port of its own.

use std::{net::SocketAddr, path::Path, sync::Arc};

use annals::{
    admin::Admin,
    api::{self, health},
    audit::{Audit, index},
    command::background,
    log::Position,
    projector::{self, Folder, Progress},
    read_model::ReadModels,
    serve,
    trace::Spans,
};
use futures_util::FutureExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::Database;

/// A server and a client that talks to it.
pub struct Server {
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<()>,
    client: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("the answer is whole");
        Self { status, headers, text }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    /// The problem it is, checked for its form; its slug.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16(), "{problem}");
        for member in ["title", "detail", "instance"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        let kind = problem["type"].as_str().expect("a type");
        kind.strip_prefix("/problems/").expect("a path").to_owned()
    }

    /// Pointers or names of the faults it lists.
    pub fn faults(&self) -> Vec<String> {
        let faults = self.json()["errors"].as_array().cloned().unwrap_or_default();
        let place =
            |fault: &Value| fault["pointer"].as_str().or(fault["parameter"].as_str()).map(str::to_owned);
        faults.iter().map(|fault| place(fault).expect("a place")).collect()
    }
}

impl Server {
    /// With fixed keys, unless `settings` say otherwise, and with projections that follow the log.
    pub async fn start(database: &Database, settings: &[(&str, &str)]) -> Self {
        let settings = [&[("auth", "dev"), ("projector_poll_interval_ms", "5")], settings].concat();
        let config = database.config(&settings);
        let server = Self::without_projections(database, &settings).await;
        let deps = projector::Deps {
            reader: database.reader(),
            read: database.pool(),
            registry: Arc::new(super::registry()),
            log_id: database.identity().await.log_id,
            head: watch::channel(Position::default()).1,
            progress: Progress::new([]),
            spans: Spans::default(),
        };
        let shutdown = server.shutdown.clone();
        tokio::spawn(projector::run(deps, projections(), None, config.projector, shutdown));
        server
    }

    /// Nobody follows the log.
    pub async fn without_projections(database: &Database, settings: &[(&str, &str)]) -> Self {
        let up = || async { health::Dependencies::from([("postgres".to_owned(), health::Dependency::up())]) };
        Self::with_health(database, settings, Arc::new(move || up().boxed())).await
    }

    /// Nobody follows the log, and dependencies are as `health` says.
    pub async fn with_health(database: &Database, settings: &[(&str, &str)], health: health::Check) -> Self {
        let settings = [&[("auth", "dev"), ("audit_index_poll_interval_ms", "5")], settings].concat();
        let config = database.config(&settings);
        let commands = database.commands(&settings).await;
        let folders = projections();
        let names = folders.iter().map(|folder| folder.name.as_str());
        let read_models = ReadModels::new(
            &config.databases,
            database.reader(),
            None,
            Progress::new(names),
            config.reads.clone(),
        )
        .expect("a pool");
        let (told, indexed) = watch::channel(Position::default());
        let audit = Audit::new(
            database.pool(),
            database.pool(),
            Arc::new(super::registry()),
            watch::channel(Position::default()).1,
            indexed,
            config.audit.clone(),
        );
        let indexing =
            index::Deps { pool: database.pool(), head: watch::channel(Position::default()).1, indexed: told };
        let shutdown = CancellationToken::new();
        let deps = api::Deps {
            registry: Arc::new(super::registry()),
            commands: commands.clone(),
            log: database.reader(),
            log_id: database.identity().await.log_id,
            read_models,
            audit,
            admin: Admin::new(commands.clone(), database.pool(), database.pool(), folders.clone(), &config),
            folders,
            keys: database.pool(),
            open: api::Open {
                health,
                metrics: PrometheusBuilder::new().build_recorder().handle(),
                draining: shutdown.clone(),
            },
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(background::run(commands, shutdown.clone()));
        tokio::spawn(index::run(indexing, config.audit.clone(), shutdown.clone()));
        let ending = shutdown.clone();
        let running = tokio::spawn(async move { api::serve(deps, &config, listener, ending).await });
        Self { address, shutdown, running, client: reqwest::Client::new() }
    }

    /// A request without any key.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// A request of the consumer.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth("dev-consumer")
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    /// Sends a body as it is, as JSON.
    pub async fn post_text(&self, path: &str, body: &str) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        Answer::of(request.body(body.to_owned())).await
    }

    /// Creates an order; its path.
    pub async fn create_order(&self) -> String {
        let created = self.post("/api/orders", &order()).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
        created.header("location").expect("a location").to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn projections() -> Vec<Folder> {
    serve::folders(Path::new("projections")).expect("the folders load")
}

/// A body that creates an order.
pub fn order() -> Value {
    serde_json::from_str(super::ORDER).expect("JSON")
}
