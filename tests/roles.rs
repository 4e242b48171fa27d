//! Every operation of the published document × everyone who may come. The table is written by hand: an operation that is
//! missing here fails.

mod support;

use std::collections::BTreeMap;

use annals::api::auth::Role;
use chrono::{TimeDelta, Utc};
use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::Value;
use support::{
    Database,
    keys::Keys,
    server::{Answer, Server},
    until,
};
use uuid::Uuid;

const OPEN: &[&str] = &[
    "getDocs",
    "isLive",
    "isReady",
    "getMetrics",
    "getOpenApiJson",
    "getOpenApiYaml",
    "listProblems",
    "getProblem",
];
const CONSUMER: &[&str] = &[
    "getCommand",
    "createCounter",
    "getCounter",
    "incrementCounter",
    "submitCode",
    "listOrders",
    "createOrder",
    "getOrder",
    "cancelOrder",
    "confirmOrder",
    "deliverOrder",
    "replaceOrderItems",
    "payOrder",
    "refundOrder",
    "shipOrder",
    "listProjects",
    "createProject",
    "deleteProject",
    "getProject",
    "updateProject",
    "listReadModels",
    "listCountersRows",
    "getCountersRow",
    "listCustomerSummaryRows",
    "getCustomerSummaryRow",
    "listDailyRevenueRows",
    "getDailyRevenueRow",
    "queryDailyRevenueRolling",
    "listOrderTimelineRows",
    "getOrderTimelineRow",
    "listOrdersRows",
    "getOrdersRow",
    "listProjectsRows",
    "queryProjectsSearch",
    "getProjectsRow",
];
const ADMIN: &[&str] = &[
    "listKeys",
    "createKey",
    "revokeKey",
    "listProjections",
    "getProjection",
    "dropProjection",
    "pauseProjection",
    "listRebuilds",
    "requestRebuild",
    "getRebuild",
    "cancelRebuild",
    "pauseRebuild",
    "resumeRebuild",
    "swapRebuild",
    "resumeProjection",
    "rollBackProjection",
    "listParked",
    "retryParked",
    "skipParked",
    "getRelay",
    "requestReconcile",
    "getReconcile",
];
const AUDITOR: &[&str] = &[
    "listAuditAccess",
    "listAuditCommands",
    "getAuditCommand",
    "listAuditEvents",
    "listenToAuditEvents",
    "getAuditEvent",
    "exportAuditEvents",
    "getAuditStream",
    "listAuditStreamEvents",
    "getAuditState",
    "beginVerification",
    "getVerification",
];

/// Who an operation is for; `None`: all.
fn owner(operation: &str) -> Option<Option<Role>> {
    let tables: [(&[&str], Option<Role>); 4] = [
        (OPEN, None),
        (CONSUMER, Some(Role::Consumer)),
        (ADMIN, Some(Role::Admin)),
        (AUDITOR, Some(Role::Auditor)),
    ];
    tables.iter().find(|(names, _)| names.contains(&operation)).map(|(_, role)| *role)
}

/// Someone with a key of this kind, and the role that it gives, if any.
async fn callers(database: &Database) -> Vec<(&'static str, Option<String>, Option<Role>)> {
    let keys = Keys::of(database).await;
    let make = async |role, expiry| keys.make("k", &[role], expiry).await.expect("made");
    let mut callers = vec![("none", None, None), ("wrong", Some(format!("annals_{}", "A".repeat(43))), None)];
    for role in Role::ALL {
        let (_, secret) = make(role, None).await;
        callers.push((role.as_str(), Some(secret.expose_secret().to_owned()), Some(role)));
        let (key, secret) = make(role, None).await;
        assert!(keys.revoke(key.id).await);
        callers.push(("revoked", Some(secret.expose_secret().to_owned()), None));
        let expiry = Utc::now() + TimeDelta::milliseconds(200);
        let (_, secret) = make(role, Some(expiry)).await;
        callers.push(("expired", Some(secret.expose_secret().to_owned()), None));
        until("it expires", || async { Utc::now() > expiry + TimeDelta::milliseconds(100) }).await;
    }
    callers
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_gets_what_is_theirs_and_nothing_else() {
    let database = Database::new().await;
    let settings = [("auth", "keys"), ("api_key_memory_ms", "50")];
    let server = Server::start(&database, &settings).await;
    let callers = callers(&database).await;
    let document = Answer::of(server.anonymous(Method::GET, "/openapi.json")).await.json();
    let mut walked = BTreeMap::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id");
            let owner =
                owner(id).unwrap_or_else(|| panic!("{id} ({method} {path}) is missing from the table"));
            let method: Method = method.to_uppercase().parse().expect("a method");
            let path = filled(path);
            for (caller, key, role) in &callers {
                // An event stream has no end.
                let path =
                    if id == "listenToAuditEvents" { format!("{path}?limit=no") } else { path.clone() };
                let request = server.anonymous(method.clone(), &path);
                let answer = Answer::of(key.iter().fold(request, RequestBuilder::bearer_auth)).await;
                let status = answer.status.as_u16();
                match owner {
                    Some(owner) if *role == Some(owner) => {
                        assert!(![401, 403].contains(&status) && status < 500, "{id} {caller}: {answer:?}");
                    }
                    Some(_) if role.is_some() => {
                        assert_eq!((status, answer.problem()), (403, "forbidden".into()), "{id} {caller}")
                    }
                    Some(_) => assert_eq!(
                        (status, answer.problem()),
                        (401, "unauthenticated".into()),
                        "{id} {caller}"
                    ),
                    None => assert_eq!(status, 200, "{id} {caller}: {answer:?}"),
                }
                let documented = &operation["responses"][status.to_string()];
                assert_ne!(*documented, Value::Null, "{id} {caller}: {status} is not in the document");
            }
            walked.insert(id.to_owned(), owner);
        }
    }
    let table = [OPEN, CONSUMER, ADMIN, AUDITOR].concat();
    for operation in table {
        assert!(walked.contains_key(operation), "{operation} is not in the document");
    }
}

/// The path with something in place of its parameters.
fn filled(path: &str) -> String {
    let id = Uuid::now_v7().to_string();
    let path = path.replace("{slug}", "not-found");
    let parts = path.split('/').map(|part| if part.starts_with('{') { id.as_str() } else { part });
    parts.collect::<Vec<_>>().join("/")
}
