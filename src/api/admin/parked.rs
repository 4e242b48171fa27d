//! What projections have parked, over HTTP: listed, tried again, skipped.

use poem::{Request, Response, handler};
use serde_json::Value;
use uuid::Uuid;

use super::{asker, core, projections::known};
use crate::{
    api::{answer, parameters::Parameters, problem::Problem},
    json::RawJson,
    log::{Position, StreamId},
    page::Page,
    projector::parked,
};

#[handler]
pub(super) async fn list(request: &Request) -> poem::Result<Response> {
    let name: String = request.path_params().unwrap_or_default();
    let mut parameters = Parameters::of(request).await?;
    let after = parameters.cursor()?.unwrap_or_default();
    let limit = parameters.limit();
    parameters.finish()?;
    known(request, &name).await?;
    let found = core(request).admin.parked(&name, after, limit + 1).await.map_err(Problem::from)?;
    let parked = found.iter().map(|parked| (Position(parked.position), RawJson::of(parked)));
    Ok(answer::list(request, "listParked", &Page::cut(parked, limit), Position::to_string))
}

/// Tries a parked stream again, with its first event or without.
#[handler]
pub(super) async fn mend(request: &Request) -> poem::Result<Response> {
    let (name, id, verb): (String, String, String) = request.path_params().unwrap_or_default();
    let (operation, skip) = match verb.as_str() {
        "retry" => ("retryParked", false),
        "skip" => ("skipParked", true),
        _ => return Err(Problem::not_found("There is nothing at this path.").into()),
    };
    known(request, &name).await?;
    let absent = || Problem::from(parked::Error::NotParked);
    let id: Uuid = id.parse().map_err(|_| absent())?;
    let admin = &core(request).admin;
    let stream_type = parked::stream_type(admin.read(), &name, id).await.map_err(Problem::from)?;
    let stream = StreamId { stream_type: stream_type.ok_or_else(absent)?, id };
    let mended = admin.mend(&asker(request), &name, &stream, skip).await.map_err(Problem::from)?;
    let told: Value = serde_json::to_value(mended).expect("numbers");
    Ok(answer::one(operation, &told))
}
