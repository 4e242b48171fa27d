//! A command as it comes over HTTP: its headers and body checked, every fault told at once, then handed to the
//! pipeline.
//!
//! Leaves deciding to `command`. The invariant: what reaches the pipeline satisfies the published schema.

use std::{marker::PhantomData, sync::Arc};

use poem::{FromRequest, Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaParamIn, MetaRequest, MetaSchemaRef, Registry},
    types::Type,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Core,
    auth::Caller,
    body, headers,
    problem::{Fault, Problem},
    reply::{Created, Reply},
    trace,
};
use crate::command::{self, contract, step::Step};

/// A command whose body has the schema of `T`.
pub(crate) struct Sent<T> {
    bare: Bare,
    schema: PhantomData<fn() -> T>,
}

/// A command without a body.
pub(crate) struct Bare {
    core: Arc<Core>,
    request: command::Request,
    /// Whether the caller would rather be answered at once and ask later.
    respond_async: bool,
    /// Of the headers.
    faults: Vec<Fault>,
}

/// The correlation id that the outer layer settled on.
#[derive(Debug, Clone)]
pub(crate) struct CorrelationId(pub(crate) String);

impl<T> Sent<T> {
    /// Carries out a command that begins something.
    pub(crate) async fn create<R>(self, command: &str) -> Result<Created<R>, Problem> {
        self.bare.execute(command).await
    }

    /// Carries out a command on something that is there.
    pub(crate) async fn on<const STATUS: u16, R>(
        self,
        id: Id,
        command: &str,
    ) -> Result<Reply<STATUS, R>, Problem> {
        self.bare.on(id, command).await
    }
}

impl Bare {
    pub(crate) async fn on<const STATUS: u16, R>(
        mut self,
        Id(id): Id,
        command: &str,
    ) -> Result<Reply<STATUS, R>, Problem> {
        self.request.stream_id = Some(id);
        self.execute(command).await
    }

    async fn execute<const STATUS: u16, R>(mut self, command: &str) -> Result<Reply<STATUS, R>, Problem> {
        self.check(command)?;
        self.request.command = command.to_owned();
        let commands = &self.core.commands;
        let answer = match self.respond_async {
            true => commands.accept(self.request).await?,
            false => commands.execute(self.request).await?,
        };
        Reply::of(answer, &self.core.tokens)
    }

    /// Tells all faults of headers and body together. Where the schema finds some, the domain is asked too, so that a
    /// rule beyond the schema does not come up only in the next try; the schema's word goes first.
    fn check(&mut self, command: &str) -> Result<(), Problem> {
        let Some((aggregate, known)) = self.core.registry.command(command) else {
            return Err(Problem::internal(&format!("there is no command `{command}`")));
        };
        let _step = Step::start("schema", &self.request.correlation_id);
        let body = &mut self.request.body;
        let violations = self.core.schemas.validate(known.schema, body);
        if self.faults.is_empty() && violations.is_empty() {
            return Ok(());
        }
        let violations = contract::with_the_domains(violations, aggregate.check(command, body));
        let faults = std::mem::take(&mut self.faults);
        Err(Problem::invalid(faults.into_iter().chain(violations.into_iter().map(Fault::Body)).collect()))
    }

    fn read(request: &Request) -> Self {
        let core: &Arc<Core> = request.data().expect("the outer layer puts it there");
        let caller: &Caller = request.data().expect("the outer layer admits nobody without one");
        let CorrelationId(correlation_id) = request.data().expect("the outer layer settles on one");
        let mut faults = Vec::new();
        let headers = request.headers();
        let idempotency_key = headers::idempotency_key(headers).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        let if_match = headers::if_match(headers).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        let sent = command::Request {
            command_id: None,
            command: String::new(),
            stream_id: None,
            body: Value::Object(Default::default()),
            sent: None,
            principal: caller.principal.clone(),
            idempotency_key,
            correlation_id: correlation_id.clone(),
            causation_id: None,
            traceparent: trace::traceparent(headers),
            if_match,
            target: format!("{} {}", request.method(), request.uri().path()),
        };
        Self {
            core: core.clone(),
            request: sent,
            respond_async: headers::preferences(headers).respond_async,
            faults,
        }
    }
}

impl<'a> FromRequest<'a> for Bare {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::read(request))
    }
}

/// Shows the schema of `T` in the document, and reads the body as JSON.
impl<'a, T: Type> ApiExtractor<'a> for Sent<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: "application/json", schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let mut bare = Bare::read(request);
        let empty_is_object = bare.core.schemas.requires_nothing(&T::name());
        let sent = body.take().unwrap_or_default();
        let step = Step::start("body", &bare.request.correlation_id);
        let read = body::read(request, sent, bare.core.body, empty_is_object).await?;
        drop(step);
        bare.request.body = read;
        Ok(Self { bare, schema: PhantomData })
    }
}

/// The id in a path. One that is no UUID names nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id(pub(crate) Uuid);

impl<'a> ApiExtractor<'a> for Id {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = Uuid;
    type ParamRawType = Uuid;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Path)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(Uuid::schema_ref())
    }

    fn param_raw_type(&self) -> Option<&Uuid> {
        Some(&self.0)
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<Uuid>,
    ) -> poem::Result<Self> {
        let id = request.path_params::<Uuid>();
        id.map(Self).map_err(|_| Problem::not_found("The id is no UUID.").into())
    }
}
