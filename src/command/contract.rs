//! Commands from where there is no HTTP: the Kafka topic and the command line. The same schemas, the same pipeline; what
//! becomes of a command is told as JSON.
//!
//! Knows the published schemas and the form of a problem only as functions it is given, so that the pipeline knows no
//! HTTP.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Answer, Commands, Error, Failure, Outcome, Request, step::Step};
use crate::{
    aggregate::{Rejection, Violation},
    log::{Position, Status, Version},
};

/// Brings a body into its plain form and tells what is wrong with it, by the name of its published schema.
type Validate = dyn Fn(&str, &mut Value) -> Vec<Violation> + Send + Sync;
/// A problem document for a command of this id.
type ToProblem = dyn Fn(Uuid, NotDone) -> Value + Send + Sync;

/// What senders were promised: the schemas of bodies, and the form of a no.
pub struct Contract {
    validate: Box<Validate>,
    problem: Box<ToProblem>,
    /// Longest body, in bytes.
    pub body_bytes_max: usize,
}

/// Every way in which a command is not done.
#[derive(Debug)]
pub enum NotDone {
    /// The domain says no.
    Rejected(Rejection),
    /// The pipeline refused it or failed.
    Failed(Error),
    /// It was accepted and then given up.
    GivenUp(Failure),
    /// What came is no command; why.
    Malformed(String),
}

/// What a sender is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reply {
    pub command_id: Uuid,
    pub status: Status,
    /// `<stream_type>/<id>`, where the command got as far as a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The stream's version after it, or the one a rejection was decided on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The last position it wrote; where it was done without an event, that of its stream's last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// With `done`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// With `rejected` and `failed`: a problem document, as over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Value>,
}

impl Contract {
    pub fn new(
        validate: impl Fn(&str, &mut Value) -> Vec<Violation> + Send + Sync + 'static,
        problem: impl Fn(Uuid, NotDone) -> Value + Send + Sync + 'static,
        body_bytes_max: usize,
    ) -> Self {
        Self { validate: Box::new(validate), problem: Box::new(problem), body_bytes_max }
    }

    /// Holds the body against the published schema, then carries the command out.
    pub async fn execute(&self, commands: &Commands, mut request: Request) -> Result<Answer, Error> {
        let registry = &commands.0.registry;
        let (aggregate, command) = registry
            .command(&request.command)
            .filter(|(_, command)| !command.schema.is_empty())
            .ok_or_else(|| Error::UnknownCommand(request.command.clone()))?;
        let step = Step::start("schema", &request.correlation_id);
        let violations = (self.validate)(command.schema, &mut request.body);
        drop(step);
        if !violations.is_empty() {
            let beyond = aggregate.check(command.name, &request.body);
            return Err(Error::Invalid(with_the_domains(violations, beyond)));
        }
        commands.execute(request).await
    }

    /// What the sender of a command is told.
    pub fn reply(&self, command_id: Uuid, outcome: Result<Answer, NotDone>) -> Reply {
        let bare = Reply {
            command_id,
            status: Status::Done,
            subject: None,
            version: None,
            position: None,
            result: None,
            problem: None,
        };
        let problem = |no| Some((self.problem)(command_id, no));
        let answer = match outcome {
            Ok(answer) => answer,
            Err(no) => return Reply { status: Status::Failed, problem: problem(no), ..bare },
        };
        let subject = Some(format!("{}/{}", answer.stream.stream_type, answer.stream.id));
        let known = Reply { subject, version: Some(answer.version), position: answer.position, ..bare };
        match answer.outcome {
            Outcome::Done(result) => Reply { result: result.parse().ok(), ..known },
            Outcome::Rejected(rejection) => {
                Reply { status: Status::Rejected, problem: problem(NotDone::Rejected(rejection)), ..known }
            }
            Outcome::Failed(failure) => {
                Reply { status: Status::Failed, problem: problem(NotDone::GivenUp(failure)), ..known }
            }
            Outcome::Pending => Reply { status: Status::Pending, ..known },
        }
    }
}

/// The schema's violations and, where it has none for a place, the domain's: so that a rule beyond the schema does not
/// come up only in the next try. A fault of the whole says only that the body cannot be read yet.
pub(crate) fn with_the_domains(mut schemas: Vec<Violation>, domains: Vec<Violation>) -> Vec<Violation> {
    let is_new = |violation: &Violation| {
        !violation.pointer.is_empty()
            && !schemas.iter().any(|told| told.pointer.starts_with(&violation.pointer))
    };
    let more: Vec<_> = domains.into_iter().filter(is_new).collect();
    schemas.extend(more);
    schemas
}
