//! The relay over HTTP: how far it is, and its topics against the log.

use poem::{
    Body, Request, Response, handler,
    http::{StatusCode, header},
};
use serde_json::json;
use tracing::error;
use uuid::Uuid;

use super::{PREFIX, asker, core, valid};
use crate::api::{answer, headers, problem::Problem};

#[handler]
pub(super) async fn get(request: &Request) -> poem::Result<Response> {
    let outbox = core(request).admin.outbox().await.map_err(Problem::from)?;
    let mut told = serde_json::to_value(&outbox).expect("texts and numbers");
    told["lag"] = outbox.lag().into();
    Ok(answer::one("getRelay", &told))
}

#[handler]
pub(super) async fn begin_reconcile(request: &Request, body: Body) -> poem::Result<Response> {
    let options = valid(request, body, "RequestReconcile").await?;
    let dry_run = options["dry_run"] == true;
    let admin = &core(request).admin;
    let begun = admin.reconcile(asker(request), dry_run).await.map_err(Problem::from)?;
    let id = begun.id;
    // What comes of it is noted in the log, for whoever asks.
    tokio::spawn(async move {
        if let Err(error) = begun.run(|_, _| {}).await {
            error!(%id, %error, "topics could not be compared with the log");
        }
    });
    let told = json!({"id": id, "state": "running", "dry_run": dry_run, "sent_again": []});
    let mut response = answer::one("requestReconcile", &told);
    response.set_status(StatusCode::ACCEPTED);
    let location = format!("{PREFIX}/relay/reconciles/{id}");
    response.headers_mut().insert(header::LOCATION, headers::value(&location));
    Ok(response)
}

#[handler]
pub(super) async fn get_reconcile(request: &Request) -> poem::Result<Response> {
    let absent = || Problem::not_found("There is no such comparison.");
    let id: Uuid = request.path_params().map_err(|_| absent())?;
    let found = core(request).admin.reconciled(id).await.map_err(Problem::from)?;
    Ok(answer::one("getReconcile", &found.ok_or_else(absent)?))
}
