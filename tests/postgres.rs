//! Sessions, and what is told of a database that is away.

mod support;

use annals::{
    log::{Accepted, CommandLog, Error, StreamId},
    postgres::Failure,
};
use support::Database;
use uuid::Uuid;

#[tokio::test]
async fn a_url_cannot_change_how_events_are_read() {
    let mut database = Database::new().await;
    let separator = if database.url.contains('?') { '&' } else { '?' };
    database.url.push_str(&format!(
        "{separator}options=-c%20TimeZone%3DEurope/Berlin%20-c%20DateStyle%3DGerman%20-c%20statement_timeout%3D1234%20-c%20jit%3Don"
    ));
    let client = database.pool().get().await.expect("a session");
    let setting = async |name: &str| -> String {
        client.query_one("select current_setting($1)", &[&name]).await.expect("a row").get(0)
    };
    assert_eq!(setting("TimeZone").await, "UTC");
    assert_eq!(setting("DateStyle").await, "ISO, YMD");
    assert_eq!(setting("jit").await, "off");
    assert_eq!(setting("statement_timeout").await, "1234ms", "what is nobody's concern stays");
}

#[tokio::test]
async fn what_was_not_sent_has_no_unknown_outcome() {
    let mut database = Database::new().await;
    // Nobody listens there.
    database.url = "postgres://annals@127.0.0.1:1/annals".into();
    let log = CommandLog::new(database.pool());
    let unread = log.find(Uuid::now_v7()).await.expect_err("nobody answers");
    assert_eq!(unread.failure(), Failure::Transient);
    let order = StreamId { stream_type: "order".into(), id: Uuid::now_v7() };
    let accepted = Accepted {
        command_id: Uuid::now_v7(),
        command_type: "order.confirm".into(),
        principal: "api_key:1".into(),
        idempotency_key: None,
        fingerprint: vec![0; 32],
        correlation_id: "c".into(),
        stream_id: order.id,
        request: annals::json::RawJson::of(&serde_json::json!({})),
        attempts: 0,
    };
    let refused = log.accept(&accepted, &order).await.expect_err("nobody answers");
    assert!(matches!(refused, Error::Away(_)), "{refused:?}");
}
