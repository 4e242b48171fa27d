//! What admins ask for: an event first, with who asked, and then what follows from it. The same way for HTTP and for the
//! command line.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Admin, Error};
use crate::{
    command::{self, Outcome},
    domain::admin::Action,
    log::StreamId,
    projector::parked::{self, Mended},
};

/// Who asks, and in which conversation.
#[derive(Debug, Clone)]
pub struct Asker {
    pub principal: String,
    pub correlation_id: String,
    pub traceparent: Option<String>,
    /// Where it was asked, such as `POST /api/admin/keys`.
    pub target: String,
}

impl Asker {
    /// Whoever sits at the command line.
    pub fn at_command_line(command: &str) -> Self {
        Self {
            principal: "cli".into(),
            correlation_id: Uuid::now_v7().to_string(),
            traceparent: None,
            target: format!("cli {command}"),
        }
    }
}

impl Admin {
    /// Notes what is asked for and makes it true; the stream that it was noted in, and what became of a stream that was
    /// set apart, if it is about one.
    pub async fn request(
        &self,
        asker: &Asker,
        command: &str,
        stream_id: Option<Uuid>,
        body: Value,
    ) -> Result<(Uuid, Option<Mended>), Error> {
        let asker = asker.clone();
        let request = command::Request {
            command_id: None,
            command: command.to_owned(),
            stream_id,
            body,
            principal: asker.principal,
            idempotency_key: None,
            correlation_id: asker.correlation_id,
            causation_id: None,
            traceparent: asker.traceparent,
            if_match: None,
            target: asker.target,
        };
        let answer = self.commands.execute(request).await?;
        if let Outcome::Rejected(rejection) = answer.outcome {
            return Err(Error::Rejected(rejection));
        }
        let mended = match answer.position {
            Some(position) => self.carry_out(position).await?,
            None => None,
        };
        Ok((answer.stream.id, mended))
    }

    /// Does something about a projection; noted in the projection's own stream.
    pub async fn act(
        &self,
        asker: &Asker,
        action: Action,
        projection: &str,
        rebuild_id: Option<Uuid>,
        options: Value,
    ) -> Result<Option<Mended>, Error> {
        let stream = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("projection {projection}").as_bytes());
        let body = json!({
            "action": action, "projection": projection, "rebuild_id": rebuild_id, "options": options,
        });
        Ok(self.request(asker, "admin.act", Some(stream), body).await?.1)
    }

    /// Folds what a projection has set apart of a stream, without its first event if `skip`. Refused, and not noted,
    /// where nothing is set apart of it.
    pub async fn mend(
        &self,
        asker: &Asker,
        projection: &str,
        stream: &StreamId,
        skip: bool,
    ) -> Result<Mended, Error> {
        if !parked::is_parked(&self.read, projection, stream).await? {
            return Err(parked::Error::NotParked.into());
        }
        let action = if skip { Action::SkipParked } else { Action::RetryParked };
        let mended = self.act(asker, action, projection, None, json!({ "stream": stream })).await?;
        mended.ok_or_else(|| parked::Error::NotParked.into())
    }
}
