//! A read over HTTP: how fresh it has to be, which rows it asks for, and the rows as an answer.
//!
//! Leaves rows and waiting to `read_model`. The invariant: position, generation and rows of an answer are of one moment.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use poem::{
    FromRequest, IntoResponse, Request, RequestBody, Response,
    http::{HeaderName, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions,
    registry::{MetaParamIn, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ParseFromParameter, Type},
};
use serde_json::Value;

use super::{
    Core,
    answer::{next_link, page_json},
    headers,
    problem::{Fault, Problem, kind},
    reply::response,
};
use crate::read_model::{self, Answer, Freshness, ListQuery};

pub(super) const POSITION: HeaderName = HeaderName::from_static("annals-position");
const GENERATION: HeaderName = HeaderName::from_static("annals-generation");
const PARKED: HeaderName = HeaderName::from_static("annals-parked");

/// What a read asks for.
pub(crate) struct Read {
    core: Arc<Core>,
    path: String,
    /// The query's, without the token.
    parameters: Vec<(String, String)>,
    freshness: Freshness,
}

impl<'a> FromRequest<'a> for Read {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::of(request).await?)
    }
}

impl Read {
    pub(crate) async fn of(request: &Request) -> Result<Self, Problem> {
        let core: &Arc<Core> = request.data().expect("the outer layer puts it there");
        let malformed = |_| Problem::new(kind::MALFORMED, "The query string cannot be read.");
        let mut parameters = request.params::<Vec<(String, String)>>().map_err(malformed)?;
        let after = core.tokens.of_read(request.headers(), &mut parameters).await?;
        let wait: Option<Duration> = headers::preferences(request.headers()).wait;
        let wait = wait.unwrap_or(core.reads.wait_default).min(core.reads.wait_max);
        let path = request.uri().path().to_owned();
        Ok(Self { core: core.clone(), path, parameters, freshness: Freshness { after, wait } })
    }

    /// The row with this key.
    pub(crate) async fn row<T>(self, read_model: &str, key: &[&str]) -> Result<Row<T>, Problem> {
        let read = self.core.read_models.get(read_model, key, self.freshness).await;
        let answer = match read {
            // A key that cannot be one names nothing.
            Err(read_model::Error::BadParameters(_)) => return Err(absent()),
            answer => answer?,
        };
        let headers = moment(&answer);
        let json = answer.value.ok_or_else(absent)?;
        let version = json.parse::<Value>().ok().and_then(|row| row["version"].as_i64());
        let etag = version.map(|version| (header::ETAG, format!("\"{version}\"")));
        Ok(Row(Answered {
            json: json.as_str().to_owned(),
            headers: headers.chain(etag).collect(),
            shape: PhantomData,
        }))
    }

    /// A page of rows, as the query asks.
    pub(crate) async fn page<T>(self, read_model: &str) -> Result<Page<T>, Problem> {
        let parameters = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let query = ListQuery::parse(parameters);
        let answer = self.core.read_models.list(read_model, &query, self.freshness).await?;
        let headers = moment(&answer);
        let page = answer.value;
        let link =
            page.next.as_deref().map(|next| (header::LINK, next_link(&self.path, &self.parameters, next)));
        let json = page_json(&page.items, page.next.as_deref());
        Ok(Page(Answered { json, headers: headers.chain(link).collect(), shape: PhantomData }))
    }

    /// The rows of a named query.
    pub(crate) async fn query<T>(self, read_model: &str, query: &str) -> Result<Page<T>, Problem> {
        let parameters: Vec<_> =
            self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = self.core.read_models.query(read_model, query, &parameters, self.freshness).await?;
        let headers = moment(&answer).collect();
        Ok(Page(Answered { json: page_json(&answer.value, None), headers, shape: PhantomData }))
    }
}

fn absent() -> Problem {
    Problem::not_found("There is no such row, or the read model has not got it yet.")
}

/// Of which moment an answer is.
fn moment<T>(answer: &Answer<T>) -> impl Iterator<Item = (HeaderName, String)> + use<T> {
    let parked = (answer.parked > 0).then(|| (PARKED, answer.parked.to_string()));
    [(POSITION, answer.position.to_string()), (GENERATION, answer.generation.to_string())]
        .into_iter()
        .chain(parked)
}

struct Answered<T> {
    json: String,
    headers: Vec<(HeaderName, String)>,
    shape: PhantomData<fn() -> T>,
}

impl<T> Answered<T> {
    fn into_response(self) -> Response {
        let response = Response::builder().content_type("application/json");
        let headers = self.headers.into_iter();
        headers
            .fold(response, |response, (name, value)| response.header(name, headers::value(&value)))
            .body(self.json)
    }
}

/// One row, in the shape of `T`.
pub(crate) struct Row<T>(Answered<T>);

/// Some rows, each in the shape of `T`, and where the next ones begin.
pub(crate) struct Page<T>(Answered<T>);

impl<T: Send> IntoResponse for Row<T> {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl<T: Send> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl<T: Type> ApiResponse for Row<T> {
    fn meta() -> MetaResponses {
        let headers = ["ETag", "Annals-Position", "Annals-Generation", "Annals-Parked"];
        MetaResponses {
            responses: vec![response(200, "As the read model has it.", Some(T::schema_ref()), headers)],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> ApiResponse for Page<T> {
    fn meta() -> MetaResponses {
        let items = MetaSchema { items: Some(Box::new(T::schema_ref())), ..MetaSchema::new("array") };
        let next = MetaSchema {
            nullable: true,
            description: Some("Send it as `cursor` for the next page; null on the last one."),
            ..MetaSchema::new("string")
        };
        let inline = |schema| MetaSchemaRef::Inline(Box::new(schema));
        let page = inline(MetaSchema {
            required: vec!["items", "next"],
            properties: vec![("items", inline(items)), ("next", inline(next))],
            ..MetaSchema::new("object")
        });
        let headers = ["Link", "Annals-Position", "Annals-Generation", "Annals-Parked"];
        MetaResponses { responses: vec![response(200, "A page.", Some(page), headers)] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl From<read_model::Error> for Problem {
    fn from(error: read_model::Error) -> Self {
        use read_model::Error;
        match error {
            Error::Unknown(_) | Error::UnknownQuery(_) => {
                Self::not_found(format!("{}.", capitalised(&error)))
            }
            Error::BadParameters(bad) => {
                Self::invalid(bad.into_iter().map(|bad| Fault::query(&bad.name, bad.detail)).collect())
            }
            Error::NoAnswer(_) | Error::TooManyRows(_) | Error::TooManyBytes(_) => {
                Self::new(kind::VALIDATION_FAILED, format!("{}.", capitalised(&error)))
            }
            Error::BadCursor(_) => Self::new(kind::MALFORMED, format!("{}.", capitalised(&error))),
            Error::Behind => Self::new(kind::PROJECTION_BEHIND, "The read model has not come that far yet."),
            Error::Overloaded => Self::overloaded("Too many requests wait for a read model."),
            Error::TooSlow => Self::overloaded("The query took too long."),
            Error::Database(error) => error.into(),
        }
    }
}

fn capitalised(error: &read_model::Error) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A filter that the document shows with the type of `T`. Its value goes to the read with all the others; here it is
/// only seen to be one.
pub(crate) struct Filter<T>(PhantomData<fn() -> T>);

impl<'a, T: ParseFromParameter> ApiExtractor<'a> for Filter<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = T;
    type ParamRawType = T::RawValueType;

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(T::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<T>,
    ) -> poem::Result<Self> {
        let parameters = request.params::<Vec<(String, String)>>().unwrap_or_default();
        let odd = |value: &str| T::parse_from_parameter(value).err().map(|error| error.into_message());
        let faults: Vec<_> = parameters
            .iter()
            .filter(|(name, _)| name == options.name)
            .filter_map(|(name, value)| Some(Fault::query(name, odd(value)?)))
            .collect();
        match faults.is_empty() {
            true => Ok(Self(PhantomData)),
            false => Err(Problem::invalid(faults).into()),
        }
    }
}
