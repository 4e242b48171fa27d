//! Migrations beside what else goes on.

mod support;

use annals::postgres::{MigrationError, check_log, migrate_log};
use support::{DEADLINE, Database, process::Process, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_table_does_not_hold_up_who_appends() {
    let database = Database::new().await;
    let mut client = database.client().await;
    // One that needs the table of commands is applied again.
    client.batch_execute(include_str!("migrations/forget_the_last.sql")).await.expect("forgotten");
    let long = client.transaction().await.expect("begun");
    long.batch_execute("lock table log.commands in row exclusive mode").await.expect("locked");
    let url = secrecy::SecretString::from(database.url.clone());
    let migrating = tokio::spawn(async move { migrate_log(&url, DEADLINE).await });
    let (appender, _) = database.appender(&[]);
    let other = database.client().await;
    until("the migration has waited and given way", || async {
        let waited =
            "select exists (select from pg_locks where relation = 'log.commands'::regclass and not granted)";
        other.query_one(waited, &[]).await.expect("a row").get(0)
    })
    .await;
    let append = appender.append(support::append("order.created", support::ORDER));
    tokio::time::timeout(DEADLINE, append).await.expect("not held up").expect("appended");
    assert!(!migrating.is_finished());
    drop(long);
    drop(client);
    migrating.await.expect("no panic").expect("migrated");
    check_log(&database.pool()).await.expect("it fits");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_migrate_can_be_ended() {
    let database = Database::new().await;
    let other = database.client().await;
    other.batch_execute(include_str!("../src/postgres/migrate_lock.sql")).await.expect("locked");
    let mut worker = Process::worker(&database, &[]);
    until("it waits", || async {
        let waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database()))";
        other.query_one(waits, &[]).await.expect("a row").get(0)
    })
    .await;
    worker.signal("TERM");
    assert_eq!(worker.end().await, Some(0));
}

#[tokio::test]
async fn what_was_never_migrated_and_what_refuses_to_be_say_so() {
    let empty = Database::empty().await;
    let never = check_log(&empty.pool()).await.expect_err("there is no table");
    assert!(matches!(never, MigrationError::Older { found: 0, .. }), "{never:?}");
    let database = Database::new().await;
    database.client().await.batch_execute("delete from log.migrations").await.expect("forgotten");
    let refused =
        migrate_log(&database.url.clone().into(), DEADLINE).await.expect_err("all is there already");
    assert!(matches!(refused, MigrationError::Refused(_)), "{refused:?}");
    assert!(refused.to_string().contains("already exists (SQLSTATE"), "{refused}");
    let client = database.client().await;
    client
        .batch_execute("drop table log.migrations; create view log.migrations as select 1 as tea")
        .await
        .expect("hidden");
    let unread = migrate_log(&database.url.clone().into(), DEADLINE).await.expect_err("it has no versions");
    assert!(unread.to_string().contains("(SQLSTATE"), "what the database said: {unread}");
}
