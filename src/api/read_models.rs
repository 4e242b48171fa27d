//! The read models by their folders' names. A folder that is added is found here without a line of code.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use poem::{
    EndpointExt, Request, Response,
    endpoint::{BoxEndpoint, make},
    handler,
    http::Method,
};
use serde_json::{Value, json};

use super::{answer, parameters::Parameters, problem::Problem, read::Read, routes::Table};
use crate::{json::RawJson, page::Page, projector::Folder};

/// Where read models are found.
pub(super) const COLLECTION: &str = "/api/read-models";

/// Adds the routes for every folder, now and later.
pub(super) fn add_routes(table: &mut Table, folders: &[Folder]) {
    let mut get = |path: &str, endpoint: BoxEndpoint<'static>| {
        table.entry(format!("{COLLECTION}{path}")).or_default().insert(Method::GET, endpoint);
    };
    let all: Arc<Vec<_>> = Arc::new(
        folders.iter().map(|folder| (folder.name.clone(), RawJson::of(&described(folder)))).collect(),
    );
    get("", make(move |request| list(request, all.clone())).map_to_response().boxed());
    get("/:name", page.map_to_response().boxed());
    get("/:name/:key", row.map_to_response().boxed());
    get("/:name/queries/:query", query.map_to_response().boxed());
}

/// What read models there are, by name.
async fn list(request: Request, all: Arc<Vec<(String, RawJson)>>) -> poem::Result<Response> {
    let mut parameters = Parameters::of(&request).await?;
    let (after, limit) = (parameters.cursor::<String>()?, parameters.limit());
    parameters.finish()?;
    let further = all.iter().filter(|(name, _)| after.as_ref().is_none_or(|after| name > after));
    Ok(answer::list(&request, "listReadModels", &Page::cut(further.cloned(), limit), String::clone))
}

#[handler]
async fn page(request: &Request) -> poem::Result<Response> {
    let name: String = request.path_params().unwrap_or_default();
    let rows = Read::of(request).await?.page::<Value>(&name).await?;
    Ok(answer::named("listRows", rows))
}

#[handler]
async fn row(request: &Request) -> poem::Result<Response> {
    let (name, _): (String, String) = request.path_params().unwrap_or_default();
    let key = key(request.uri().path()).ok_or_else(|| Problem::not_found("The key is no text."))?;
    let key: Vec<_> = key.iter().map(String::as_str).collect();
    let found = Read::of(request).await?.row::<Value>(&name, &key).await?;
    Ok(answer::named("getRow", found))
}

#[handler]
async fn query(request: &Request) -> poem::Result<Response> {
    let (name, named): (String, String) = request.path_params().unwrap_or_default();
    let rows = Read::of(request).await?.query::<Value>(&name, &named).await?;
    Ok(answer::named("runQuery", rows))
}

/// The parts of a key: separated by commas, each percent-encoded, so that a part may hold a comma itself.
fn key(path: &str) -> Option<Vec<String>> {
    let (_, last) = path.rsplit_once('/')?;
    let decoded = last.split(',').map(|part| percent_decode_str(part).decode_utf8());
    decoded.map(|part| Some(part.ok()?.into_owned())).collect()
}

fn described(folder: &Folder) -> Value {
    let queries = folder.queries.iter().map(|(name, declared)| {
        let parameters = declared.parameters.iter().map(|parameter| parameter.name.as_str());
        json!({
            "name": name,
            "description": declared.description,
            "parameters": parameters.collect::<Vec<_>>(),
            "path": format!("{COLLECTION}/{}/queries/{name}", folder.name),
        })
    });
    json!({
        "name": folder.name,
        "description": folder.description,
        "version": folder.version,
        "path": format!("{COLLECTION}/{}", folder.name),
        "key": folder.key,
        "filter": folder.filter,
        "sort": folder.sort,
        "queries": queries.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_key_may_hold_a_comma() {
        let parts = |path| key(path).unwrap();
        assert_eq!(parts("/api/read-models/x/2026-01-31,a%2Cb"), ["2026-01-31", "a,b"]);
        assert_eq!(parts("/api/read-models/x/%C3%A4"), ["ä"]);
        assert_eq!(key("/api/read-models/x/%ff"), None);
    }
}
