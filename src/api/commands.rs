//! What becomes of commands that were accepted to be done later.

use poem::{
    FromRequest, IntoResponse, Request, RequestBody, Response,
    http::{HeaderName, header},
};
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi, Tags,
    registry::{MetaResponses, Registry},
    types::{Any, Type},
};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

use super::{
    Core,
    auth::Caller,
    problem::Problem,
    reply::{self, response},
    sent::Id,
};
use crate::command::{Answer, Outcome};

/// When to ask again, in seconds.
const RETRY_AFTER_SECONDS: &str = "1";

/// The routes.
pub(crate) struct CommandsApi;

#[derive(Tags)]
enum Tag {
    /// What becomes of commands sent with `Prefer: respond-async`.
    Commands,
}

#[OpenApi(prefix_path = "/api/commands", tag = "Tag::Commands")]
impl CommandsApi {
    /// What became of a command
    ///
    /// Only who sent it is told.
    #[oai(path = "/:command_id", method = "get", operation_id = "getCommand")]
    async fn get(&self, #[oai(name = "command_id")] id: Id, asker: Asker) -> Result<Told, Problem> {
        let answer = asker.core.commands.find(id.0, &asker.principal).await?;
        let answer = answer.ok_or_else(|| Problem::not_found("There is no such command of yours."))?;
        Ok(told(answer, &asker))
    }
}

/// What a command came to, or that it has not been done yet.
#[derive(Object)]
pub(super) struct CommandStatus {
    command_id: Uuid,
    status: Status,
    /// With `done`: what the command's own route would have answered.
    result: Option<Any<Value>>,
    /// With `rejected` and `failed`.
    problem: Option<Any<Value>>,
    /// With `done`: where what it worked on is found.
    location: Option<String>,
    /// With `done`: send it with a read to see the command's effect.
    consistency_token: Option<String>,
}

/// What became of a command.
#[derive(Enum)]
#[oai(rename_all = "lowercase")]
enum Status {
    Pending,
    Done,
    /// A rule of the business forbids it.
    Rejected,
    /// Given up after its tries.
    Failed,
}

/// Who asks.
struct Asker {
    core: Arc<Core>,
    principal: String,
    path: String,
}

impl<'a> FromRequest<'a> for Asker {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let core: &Arc<Core> = request.data().expect("the outer layer puts it there");
        let caller: &Caller = request.data().expect("the outer layer admits nobody without one");
        Ok(Self {
            core: core.clone(),
            principal: caller.principal.clone(),
            path: request.uri().path().to_owned(),
        })
    }
}

struct Told {
    status: Value,
    pending: bool,
}

fn told(answer: Answer, asker: &Asker) -> Told {
    let mut status = json!({"command_id": answer.command_id});
    let pending = answer.outcome == Outcome::Pending;
    let (word, member, value) = match answer.outcome {
        Outcome::Pending => ("pending", None, Value::Null),
        Outcome::Done(result) => {
            status["location"] = reply::location(&answer.stream).into();
            if let Some(position) = answer.position {
                status["consistency_token"] = asker.core.tokens.give(position).into();
            }
            ("done", Some("result"), result.parse().unwrap_or_default())
        }
        Outcome::Rejected(rejection) => {
            ("rejected", Some("problem"), Problem::from(rejection).into_json(&asker.path))
        }
        Outcome::Failed(failure) => {
            ("failed", Some("problem"), Problem::failed(answer.command_id, failure).into_json(&asker.path))
        }
    };
    status["status"] = word.into();
    if let Some(member) = member {
        status[member] = value;
    }
    Told { status, pending }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let retry: Option<(HeaderName, &str)> =
            self.pending.then_some((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
        let response = Response::builder().content_type("application/json");
        let response =
            retry.into_iter().fold(response, |response, (name, value)| response.header(name, value));
        response.body(self.status.to_string())
    }
}

impl ApiResponse for Told {
    fn meta() -> MetaResponses {
        let schema = Some(CommandStatus::schema_ref());
        MetaResponses { responses: vec![response(200, "What became of it.", schema, ["Retry-After"])] }
    }

    fn register(registry: &mut Registry) {
        CommandStatus::register(registry);
    }
}
