//! From paths to endpoints. Unlike the framework's own assembly it tells which methods a path takes.

use std::collections::HashMap;

use poem::{
    Endpoint, Request, Response, Route,
    endpoint::BoxEndpoint,
    http::{Method, header},
};

use super::problem::{Problem, kind};

/// Endpoints by path and method, as the framework's macros fill it.
pub(crate) type Table = HashMap<String, HashMap<Method, BoxEndpoint<'static>>>;

/// The routes of a table.
pub(crate) fn assemble(table: Table) -> Route {
    table.into_iter().fold(Route::new(), |route, (path, methods)| route.at(path, Methods::new(methods)))
}

/// The endpoints of one path.
struct Methods {
    endpoints: HashMap<Method, BoxEndpoint<'static>>,
    /// What the header Allow says.
    allow: String,
}

impl Methods {
    fn new(endpoints: HashMap<Method, BoxEndpoint<'static>>) -> Self {
        let mut names: Vec<_> = endpoints.keys().map(Method::as_str).collect();
        if endpoints.contains_key(&Method::GET) {
            names.push("HEAD");
        }
        names.sort_unstable();
        let allow = names.join(", ");
        Self { endpoints, allow }
    }
}

impl Endpoint for Methods {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        // The server leaves the body of an answer to HEAD out by itself.
        let method = match request.method() {
            &Method::HEAD => &Method::GET,
            method => method,
        };
        match self.endpoints.get(method) {
            Some(endpoint) => endpoint.call(request).await,
            None => {
                let detail = format!("This path takes {}.", self.allow);
                Err(Problem::new(kind::METHOD_NOT_ALLOWED, detail).header(header::ALLOW, &self.allow).into())
            }
        }
    }
}
