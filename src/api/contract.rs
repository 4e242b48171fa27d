//! The published schemas and the form of a problem, for commands that come without HTTP.

use serde_json::Value;
use uuid::Uuid;

use super::{problem::Problem, problem::kind, schema::Schemas};
use crate::command::{
    Error,
    contract::{Contract, NotDone},
};

/// What `document` promises; `body_bytes_max` bounds bodies as over HTTP.
pub fn contract(document: &Value, body_bytes_max: usize) -> Contract {
    let schemas = Schemas::of(document);
    Contract::new(
        move |schema, body| schemas.validate(schema, body),
        |command_id, no| Problem::not_done(command_id, no).into_json(&format!("/api/commands/{command_id}")),
        body_bytes_max,
    )
}

impl Problem {
    fn not_done(command_id: Uuid, no: NotDone) -> Self {
        match no {
            NotDone::Rejected(rejection) => rejection.into(),
            NotDone::Failed(Error::UnknownCommand(name)) => {
                Self::new(kind::NOT_FOUND, format!("There is no command `{name}`."))
            }
            NotDone::Failed(error) => error.into(),
            NotDone::GivenUp(failure) => Self::failed(command_id, failure),
            NotDone::Malformed(reason) => Self::new(kind::MALFORMED, reason),
        }
    }
}
