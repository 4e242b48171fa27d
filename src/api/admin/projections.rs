//! Projections and their rebuilds over HTTP.

use poem::{
    Body, Request, Response, handler,
    http::{HeaderValue, StatusCode, header},
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{PREFIX, asker, core, valid};
use crate::{
    api::{answer, headers, parameters::Parameters, problem::Problem, reply::IDEMPOTENCY_REPLAYED},
    domain::admin::Action,
    json::RawJson,
    page::Page,
    rebuild::{self, Rebuild},
};

#[handler]
pub(super) async fn list(request: &Request) -> poem::Result<Response> {
    let mut parameters = Parameters::of(request).await?;
    let (after, limit) = (parameters.cursor::<String>()?, parameters.limit());
    parameters.finish()?;
    let found = core(request).admin.projections(None).await.map_err(Problem::from)?;
    let named = found.into_iter().filter_map(|shown| Some((shown.parse::<Named>().ok()?.name, shown)));
    let further = named.filter(|(name, _)| after.as_ref().is_none_or(|after| name > after));
    Ok(answer::list(request, "listProjections", &Page::cut(further, limit), String::clone))
}

/// What the cursor of the list is made of.
#[derive(Deserialize)]
struct Named {
    name: String,
}

#[handler]
pub(super) async fn get(request: &Request) -> poem::Result<Response> {
    let projection = known(request, &request.path_params::<String>().unwrap_or_default()).await?;
    Ok(answer::one("getProjection", &projection))
}

/// Holds a projection, lets it go on, goes back to its earlier generation.
#[handler]
pub(super) async fn act(request: &Request) -> poem::Result<Response> {
    let (name, verb): (String, String) = request.path_params().unwrap_or_default();
    let (operation, action) = match verb.as_str() {
        "pause" => ("pauseProjection", Action::Pause),
        "resume" => ("resumeProjection", Action::Resume),
        "rollback" => ("rollBackProjection", Action::RollBack),
        _ => return Err(Problem::not_found("There is nothing at this path.").into()),
    };
    known(request, &name).await?;
    note(request, &name, action, None, Value::Null).await?;
    Ok(answer::one(operation, &known(request, &name).await?))
}

/// Drops a projection that has no folder any more.
#[handler]
pub(super) async fn drop(request: &Request) -> poem::Result<Response> {
    let name: String = request.path_params().unwrap_or_default();
    let key = headers::idempotency_key(request.headers()).map_err(|fault| Problem::invalid(vec![fault]))?;
    let dropped = core(request).admin.drop_projection(&asker(request), key, &name).await;
    let mut response = answer::named("dropProjection", StatusCode::NO_CONTENT);
    if dropped.map_err(Problem::from)? {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

#[handler]
pub(super) async fn rebuilds(request: &Request) -> poem::Result<Response> {
    let name: String = request.path_params().unwrap_or_default();
    let mut parameters = Parameters::of(request).await?;
    let (before, limit) = (parameters.cursor()?, parameters.limit());
    parameters.finish()?;
    known(request, &name).await?;
    let read = core(request).admin.read();
    let found = rebuild::list(read, Some(&name), before, limit + 1).await.map_err(Problem::from)?;
    let rebuilds = found.iter().map(|rebuild| (rebuild.id, RawJson::of(&shown(rebuild))));
    Ok(answer::list(request, "listRebuilds", &Page::cut(rebuilds, limit), Uuid::to_string))
}

#[handler]
pub(super) async fn begin_rebuild(request: &Request, body: Body) -> poem::Result<Response> {
    let name: String = request.path_params().unwrap_or_default();
    known(request, &name).await?;
    let options = valid(request, body, "RequestRebuild").await?;
    let read = core(request).admin.read();
    if options["dry_run"] == true {
        // The schema admits nothing else.
        let most = options["max_events_per_second"].as_u64().and_then(|most| u32::try_from(most).ok());
        let estimate = core(request).admin.estimate(&name, most).await.map_err(Problem::from)?;
        let told = json!({
            "events": estimate.events, "estimated_seconds": estimate.seconds, "estimated_bytes": estimate.bytes,
        });
        return Ok(answer::one("requestRebuild", &told));
    }
    if rebuild::unfinished(read, &name).await.map_err(Problem::from)?.is_some() {
        return Err(Problem::from(rebuild::Error::AlreadyRunning(name)).into());
    }
    let id = Uuid::now_v7();
    note(request, &name, Action::Rebuild, Some(id), options).await?;
    let begun = rebuild::get(read, id).await.map_err(Problem::from)?;
    let mut response = answer::one("requestRebuild", &shown(&begun));
    response.set_status(StatusCode::ACCEPTED);
    let location = format!("{PREFIX}/projections/{name}/rebuilds/{id}");
    response.headers_mut().insert(header::LOCATION, headers::value(&location));
    Ok(response)
}

#[handler]
pub(super) async fn get_rebuild(request: &Request) -> poem::Result<Response> {
    let (name, id): (String, String) = request.path_params().unwrap_or_default();
    Ok(answer::one("getRebuild", &shown(&known_rebuild(request, &name, &id).await?)))
}

#[handler]
pub(super) async fn act_on_rebuild(request: &Request) -> poem::Result<Response> {
    let (name, id, verb): (String, String, String) = request.path_params().unwrap_or_default();
    let (operation, action) = match verb.as_str() {
        "pause" => ("pauseRebuild", Action::PauseRebuild),
        "resume" => ("resumeRebuild", Action::ResumeRebuild),
        "cancel" => ("cancelRebuild", Action::CancelRebuild),
        "swap" => ("swapRebuild", Action::SwapRebuild),
        _ => return Err(Problem::not_found("There is nothing at this path.").into()),
    };
    let rebuild = known_rebuild(request, &name, &id).await?;
    if rebuild.state.is_final() {
        return Err(Problem::from(rebuild::Error::NotNow(rebuild.state)).into());
    }
    note(request, &name, action, Some(rebuild.id), Value::Null).await?;
    Ok(answer::one(operation, &shown(&known_rebuild(request, &name, &id).await?)))
}

/// Notes the action in the projection's own stream and makes it true.
async fn note(
    request: &Request,
    projection: &str,
    action: Action,
    rebuild_id: Option<Uuid>,
    options: Value,
) -> Result<(), Problem> {
    let admin = &core(request).admin;
    admin.act(&asker(request), action, projection, rebuild_id, options).await?;
    Ok(())
}

pub(super) async fn known(request: &Request, name: &str) -> Result<Value, Problem> {
    let absent = || Problem::not_found("There is no such projection.");
    if name.contains('\0') {
        return Err(absent());
    }
    let found = core(request).admin.projections(Some(name)).await?;
    found.first().and_then(|projection| projection.parse().ok()).ok_or_else(absent)
}

async fn known_rebuild(request: &Request, name: &str, id: &str) -> Result<Rebuild, Problem> {
    let absent = || Problem::not_found("There is no such rebuild.");
    let id = id.parse().map_err(|_| absent())?;
    let rebuild = rebuild::get(core(request).admin.read(), id).await?;
    if rebuild.projection == name { Ok(rebuild) } else { Err(absent()) }
}

fn shown(rebuild: &Rebuild) -> Value {
    let mut shown = serde_json::to_value(rebuild).expect("texts and numbers");
    shown["eta_seconds"] = rebuild.eta_seconds().into();
    shown["difference"] = serde_json::to_value(rebuild.difference()).expect("texts and numbers");
    shown
}
