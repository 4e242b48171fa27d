//! Requests of admins, over HTTP and from the command line alike: the event is appended first, with who asked, and then
//! applied.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Admin, Error};
use crate::{
    command::{self, Answer, Outcome},
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
    pub fn at_command_line(user: &str, command: &str) -> Self {
        Self {
            principal: format!("cli:{user}"),
            correlation_id: Uuid::now_v7().to_string(),
            traceparent: None,
            target: format!("cli {command}"),
        }
    }

    pub(super) fn asks(&self, command: &str, stream_id: Option<Uuid>, body: Value) -> command::Request {
        let asker = self.clone();
        command::Request {
            command_id: None,
            command: command.to_owned(),
            stream_id,
            body,
            sent: None,
            principal: asker.principal,
            idempotency_key: None,
            correlation_id: asker.correlation_id,
            causation_id: None,
            traceparent: asker.traceparent,
            if_match: None,
            target: asker.target,
        }
    }
}

impl Admin {
    /// Notes what is asked for and makes it true; the stream that it was noted in, and what became of a stream that was
    /// parked, if it is about one.
    pub async fn request(
        &self,
        asker: &Asker,
        command: &str,
        stream_id: Option<Uuid>,
        body: Value,
    ) -> Result<(Uuid, Option<Mended>), Error> {
        let (answer, mended) = self.carry(asker.asks(command, stream_id, body)).await?;
        Ok((answer.stream.id, mended))
    }

    /// Notes that a key is made, as `wanted`, and makes it; its id. The hash is of a secret that was drawn for this
    /// request, so a repeat is told by the rest: it finds the first one's key, of another secret (`replayed`).
    pub async fn create_key(
        &self,
        asker: &Asker,
        idempotency_key: Option<String>,
        wanted: Value,
        key_hash: &str,
    ) -> Result<(Uuid, bool), Error> {
        let mut body = wanted.clone();
        body["key_hash"] = key_hash.into();
        let asks = asker.asks("admin.create-key", None, body);
        let (answer, _) =
            self.carry(command::Request { sent: Some(wanted), idempotency_key, ..asks }).await?;
        Ok((answer.stream.id, answer.replayed))
    }

    /// Notes a request and makes it true; its answer, and what became of a stream that was parked.
    pub(super) async fn carry(&self, request: command::Request) -> Result<(Answer, Option<Mended>), Error> {
        let answer = self.commands.execute(request).await?;
        if let Outcome::Rejected(rejection) = answer.outcome {
            return Err(Error::Rejected(rejection));
        }
        let mended = match answer.position {
            Some(position) => self.carry_out(position).await?,
            None => None,
        };
        Ok((answer, mended))
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
        let body = json!({
            "action": action, "projection": projection, "rebuild_id": rebuild_id, "options": options,
        });
        Ok(self.request(asker, "admin.act", Some(stream_of(projection)), body).await?.1)
    }

    /// Folds what a projection has parked of a stream, without its first event if `skip`. Refused, and not noted,
    /// where nothing is parked of it.
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

/// The stream that is about a projection.
pub(super) fn stream_of(projection: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("projection {projection}").as_bytes())
}
