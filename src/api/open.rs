//! What is open to all: health, metrics, the document and its pages.

use metrics_exporter_prometheus::PrometheusHandle;
use poem::{
    EndpointExt, IntoResponse, Request, Response,
    endpoint::{BoxEndpoint, make, make_sync},
    http::{Method, StatusCode, header},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    document,
    health::{self, Readiness, Status},
    problem::{Problem, kind},
    routes::Table,
};

/// Lets the page use what it carries and ask this very server, and nothing else.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                           img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'";

/// How the process is.
#[derive(Clone)]
pub struct Open {
    pub health: health::Check,
    pub metrics: PrometheusHandle,
    /// Cancelled when no new requests should come.
    pub draining: CancellationToken,
}

impl Open {
    /// Adds the routes for those who watch the process.
    pub(crate) fn add_routes(self, table: &mut Table) {
        let Self { health, metrics, draining } = self;
        get(table, "/health/live", json(StatusCode::OK, r#"{"status":"up"}"#.to_owned()));
        get(table, "/health/ready", ready(health, draining));
        let render = move |_| exported(&metrics.render()).with_content_type("text/plain; version=0.0.4");
        get(table, "/metrics", make_sync(render).map_to_response().boxed());
    }
}

/// Metrics without those that have no value any more: a recorder never forgets one.
fn exported(metrics: &str) -> String {
    metrics.split_inclusive('\n').filter(|line| !line.ends_with(" NaN\n")).collect()
}

/// Adds the document, its page and the problems'.
pub(crate) fn add_documents(table: &mut Table, document: &Value) {
    let mut get = |path: &str, endpoint| get(table, path, endpoint);
    get("/openapi.json", json(StatusCode::OK, document.to_string()));
    get("/openapi.yaml", text("application/yaml", document::to_yaml(document)));
    get("/docs", docs(document));
    get("/problems", text("text/markdown; charset=utf-8", problems()));
    get("/problems/:slug", make_sync(|request| problem(&request)).boxed());
}

fn get(table: &mut Table, path: &str, endpoint: BoxEndpoint<'static>) {
    table.entry(path.to_owned()).or_default().insert(Method::GET, endpoint);
}

fn json(status: StatusCode, body: String) -> BoxEndpoint<'static> {
    make_sync(move |_| Response::builder().status(status).content_type("application/json").body(body.clone()))
        .boxed()
}

fn text(content_type: &'static str, body: String) -> BoxEndpoint<'static> {
    let body = bytes::Bytes::from(body);
    make_sync(move |_| Response::builder().content_type(content_type).body(body.clone())).boxed()
}

fn ready(health: health::Check, draining: CancellationToken) -> BoxEndpoint<'static> {
    make(move |_| {
        let (asked, draining) = (health(), draining.clone());
        async move {
            let readiness = Readiness::of(asked.await, draining.is_cancelled());
            let status = match readiness.status {
                Status::Up | Status::Degraded => StatusCode::OK,
                Status::Down => StatusCode::SERVICE_UNAVAILABLE,
            };
            let body = serde_json::to_vec(&readiness).expect("names and texts");
            Ok::<_, poem::Error>(
                Response::builder().status(status).content_type("application/json").body(body),
            )
        }
    })
    .boxed()
}

/// Swagger UI as one page, with the finished document inside.
fn docs(document: &Value) -> BoxEndpoint<'static> {
    let page = bytes::Bytes::from(document::page(document));
    make_sync(move |_| {
        Response::builder()
            .content_type("text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, DOCS_POLICY)
            .body(page.clone())
    })
    .boxed()
}

fn problem(request: &Request) -> poem::Result<Response> {
    let slug = request.path_params::<String>().unwrap_or_default();
    let kind = kind::ALL.iter().find(|kind| kind.slug == slug);
    let kind = kind.ok_or_else(|| Problem::not_found("There is no such kind of problem."))?;
    Ok(explained(kind).with_content_type("text/markdown; charset=utf-8").into_response())
}

fn explained(kind: &kind::Kind) -> String {
    let kind::Kind { slug, status, title, meaning, remedy } = kind;
    format!("# {title}\n\n`{slug}`, status {status}\n\n{meaning}\n\n## What to do\n\n{remedy}\n")
}

fn problems() -> String {
    let lines = kind::ALL.iter().map(|kind| {
        format!("- [{}](/problems/{}) ({}): {}\n", kind.slug, kind.slug, kind.status, kind.title)
    });
    format!("# Problems\n\n{}", lines.collect::<String>())
}
