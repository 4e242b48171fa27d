//! Counters over HTTP: the shapes that are published, and which route is which command.

use poem_openapi::{Object, OpenApi, Tags, types::Example};
use uuid::Uuid;

use crate::api::{
    problem::Problem,
    read::{Read, Row},
    reply::{Created, Done},
    sent::{Id, Sent},
};

const READ_MODEL: &str = "counters";

/// The routes.
pub(crate) struct CountersApi;

#[derive(Tags)]
enum Tag {
    /// Incremented by anyone, reset by who knows the code.
    Counters,
}

#[OpenApi(prefix_path = "/api/counters", tag = "Tag::Counters")]
impl CountersApi {
    /// Create a counter with a code
    ///
    /// The code is kept only as a salted hash and is never given back.
    #[oai(path = "/", method = "post", operation_id = "createCounter")]
    async fn create(&self, counter: Sent<CreateCounter>) -> Result<Created<CounterCreated>, Problem> {
        counter.create("counter.create").await
    }

    /// Get a counter
    #[oai(path = "/:id", method = "get", operation_id = "getCounter")]
    async fn get(&self, id: Id, read: Read) -> Result<Row<Counter>, Problem> {
        read.row(READ_MODEL, &[&id.0.to_string()]).await
    }

    /// Count
    #[oai(path = "/:id/increment", method = "post", operation_id = "incrementCounter")]
    async fn increment(
        &self,
        id: Id,
        increment: Sent<IncrementCounter>,
    ) -> Result<Done<CounterValue>, Problem> {
        increment.on(id, "counter.increment").await
    }

    /// Reset a counter by its code
    #[oai(path = "/:id/submit-code", method = "post", operation_id = "submitCode")]
    async fn submit_code(&self, id: Id, code: Sent<SubmitCode>) -> Result<Done<CounterValue>, Problem> {
        code.on(id, "counter.submit-code").await
    }
}

#[derive(Object)]
#[oai(example)]
struct CreateCounter {
    /// Who knows it may reset the counter.
    #[oai(validator(min_length = 1, max_length = 100))]
    code: String,
}

#[derive(Object)]
#[oai(example)]
struct IncrementCounter {
    /// 1 where it is not said.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    by: Option<i64>,
}

#[derive(Object)]
#[oai(example)]
struct SubmitCode {
    #[oai(validator(min_length = 1, max_length = 100))]
    code: String,
}

#[derive(Object)]
struct CounterCreated {
    id: Uuid,
    counter: i64,
}

#[derive(Object)]
struct CounterValue {
    counter: i64,
}

/// A counter as it stands.
#[derive(Object)]
struct Counter {
    id: Uuid,
    counter: i64,
    /// How many events the counter has.
    version: i64,
}

impl Example for CreateCounter {
    fn example() -> Self {
        Self { code: "open sesame".into() }
    }
}

impl Example for IncrementCounter {
    fn example() -> Self {
        Self { by: Some(5) }
    }
}

impl Example for SubmitCode {
    fn example() -> Self {
        Self { code: "open sesame".into() }
    }
}
