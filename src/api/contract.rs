//! The published schemas and the form of a problem, for commands that come without HTTP.

use serde_json::Value;

use super::{problem::Problem, problem::kind, schema::Schemas};
use crate::command::{
    Error,
    contract::{Contract, No},
};

/// What `document` promises; `body_bytes_max` bounds bodies as over HTTP.
pub fn contract(document: &Value, body_bytes_max: usize) -> Contract {
    let schemas = Schemas::of(document);
    Contract::new(
        move |schema, body| schemas.validate(schema, body),
        |command_id, no| Problem::from(no).into_json(&format!("/api/commands/{command_id}")),
        body_bytes_max,
    )
}

impl From<No> for Problem {
    fn from(no: No) -> Self {
        match no {
            No::Rejected(rejection) => rejection.into(),
            No::Failed(Error::UnknownCommand(name)) => {
                Self::new(kind::NOT_FOUND, format!("There is no command `{name}`."))
            }
            No::Failed(error) => error.into(),
            No::GivenUp(failure) => Self::failed(failure),
            No::Malformed(reason) => Self::new(kind::MALFORMED, reason),
        }
    }
}
