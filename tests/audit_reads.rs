//! What holds for every question of auditors: how old its answer may be, and how long it may take.

mod support;

use reqwest::Method;
use support::{
    Database,
    server::{Answer, Server, order},
};

async fn get(server: &Server, path: &str, token: &str) -> Answer {
    let request = server.anonymous(Method::GET, path).bearer_auth("dev-auditor");
    Answer::of(request.header("Consistency-Token", token)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_honoured_by_every_read() {
    let (database, elsewhere) = (Database::new().await, Database::new().await);
    let server = Server::without_projections(&database, &[("audit_index_wait_ms", "0")]).await;
    let other = Server::without_projections(&elsewhere, &[]).await;
    let token = |answer: &Answer| answer.header("consistency-token").expect("a token").to_owned();
    let created = server.post("/api/orders", &order()).await;
    let foreign = token(&other.post("/api/orders", &order()).await);
    let (id, token) = (created.json()["id"].as_str().expect("an id").to_owned(), token(&created));

    let stream = format!("/api/audit/streams/order/{id}");
    for path in [&stream, &format!("{stream}/state"), "/api/audit/commands", "/api/audit/access"] {
        assert_eq!(get(&server, path, &token).await.status, 200, "{path}");
        let (foreign, odd) = (get(&server, path, &foreign).await, get(&server, path, "odd").await);
        assert_eq!((foreign.status.as_u16(), foreign.problem().as_str()), (400, "malformed"), "{path}");
        assert_eq!((odd.status.as_u16(), odd.problem().as_str()), (400, "malformed"), "{path}");
        let in_query = get(&server, &format!("{path}?consistency_token={token}"), &token).await;
        assert_eq!(in_query.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_behind_a_token_says_so() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[("audit_index_wait_ms", "0")]).await;
    let mut client = database.client().await;
    let lock = client.transaction().await.expect("begun");
    lock.batch_execute("lock table log.event_index in share mode").await.expect("locked");
    let created = server.post("/api/orders", &order()).await;
    let token = created.header("consistency-token").expect("a token");
    let behind = get(&server, "/api/audit/events", token).await;
    assert_eq!((behind.status.as_u16(), behind.problem().as_str()), (503, "projection-behind"));
    lock.rollback().await.expect("released");
    support::until("the index has it", || async {
        let found = get(&server, "/api/audit/events", token).await;
        found.status == 200 && found.json()["items"][0]["stream_id"] == created.json()["id"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_leaves_no_busy_session_to_the_next() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[("audit_statement_timeout_ms", "300000")]).await;
    let mut client = database.client().await;
    let lock = client.transaction().await.expect("begun");
    lock.batch_execute("lock table log.commands in access exclusive mode").await.expect("locked");
    let ask = |path| server.anonymous(Method::GET, path).bearer_auth("dev-auditor");
    let hung_up = tokio::spawn(ask("/api/audit/commands").send());
    let waiting = "select exists (select from pg_stat_activity where datname = current_database() \
                   and wait_event_type = 'Lock' and query like '%log.commands%')";
    // A transaction would see the same activity for ever.
    let watching = database.client().await;
    support::until("it waits", async || watching.query_one(waiting, &[]).await.expect("told").get(0)).await;
    hung_up.abort();
    assert!(hung_up.await.is_err_and(|error| error.is_cancelled()));
    // The server may not have seen it at once.
    for _ in 0..20 {
        let next = Answer::of(ask("/api/audit/access").timeout(support::DEADLINE)).await;
        assert_eq!(next.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_takes_too_long_is_told_to_ask_for_less() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[("audit_statement_timeout_ms", "50")]).await;
    let mut client = database.client().await;
    let lock = client.transaction().await.expect("begun");
    lock.batch_execute("lock table log.commands in access exclusive mode").await.expect("locked");
    let path = "/api/audit/commands";
    let answer = Answer::of(server.anonymous(Method::GET, path).bearer_auth("dev-auditor")).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (503, "overloaded"));
    assert!(answer.header("retry-after").is_some());
    let problem = answer.json();
    assert!(problem["detail"].as_str().expect("a text").contains("Ask for less"), "{problem}");
}
