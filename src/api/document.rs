//! The OpenAPI document: what the routes' types say, finished once at start.
//!
//! The framework knows routes, bodies and results. What holds for many operations alike (who may call, common headers,
//! every problem that can come) is written once in `document/common.json` and added here, purely. The invariant: each
//! operation lists what it can answer, and nothing is hidden behind `default`.

mod finish;
mod read_models;
pub(crate) mod yaml;

use poem_openapi::{ContactObject, LicenseObject, OpenApi, OpenApiService};
use serde_json::Value;

pub use finish::finish;

use super::commands::CommandsApi;
use crate::{domain, projector::Folder};

/// In which order the members at the top are written.
const TOP: [&str; 6] = ["openapi", "info", "servers", "tags", "paths", "components"];

/// The finished document of this program with these read models.
pub fn of_program(folders: &[Folder]) -> Value {
    finish(parse(&service().spec()), folders)
}

/// As YAML, as `annals openapi` prints it.
pub fn yaml(folders: &[Folder]) -> String {
    to_yaml(&of_program(folders))
}

/// A page that shows the document and loads nothing from elsewhere.
pub(crate) fn page(document: &Value) -> String {
    let service = service();
    // The framework's page holds the document as it knows it; ours takes its place. Nothing in it ends the script.
    let finished = document.to_string().replace("</", "<\\/");
    service.swagger_ui_html().replacen(&service.spec(), &finished, 1)
}

pub(crate) fn to_yaml(document: &Value) -> String {
    yaml::write(document, &TOP)
}

/// Everything the framework's macros made routes of.
pub(super) fn apis() -> impl OpenApi {
    (domain::apis(), CommandsApi)
}

fn service() -> OpenApiService<impl OpenApi, ()> {
    OpenApiService::new(apis(), "Annals", env!("CARGO_PKG_VERSION"))
        .description(include_str!("document/description.md"))
        .contact(ContactObject::new().name("The Annals project"))
        .license(LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"))
        .server("/")
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).expect("the framework and this crate write JSON")
}
