//! Statements of a generation beside the live one that are cancelled: by somebody, once, or by a limit, each time.

use annals::rebuild::State;

use crate::{
    MANUAL,
    stage::{Counters, Stage, shipped},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_outlives_one_cancelled_statement_and_no_limit() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(10);
    let process = stage.process(&[&shipped("counters")], &[]).await;
    stage.count(&mut counters, 50).await;
    stage.folded("counters").await;
    let rebuild = stage.start(MANUAL).await;
    stage.reaches(rebuild.id, State::Waiting).await;
    stage.execute(include_str!("cancelled.sql")).await;
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;
    let client = stage.database.client().await;
    let cancelled = client.query_one("select last_value from public.cancelled", &[]).await.expect("a number");
    assert!(cancelled.get::<_, i64>(0) > 1, "it was tried again");
    stage.reaches(rebuild.id, State::Waiting).await;

    stage.execute("update public.cancelled_at_most set times = 1000000").await;
    stage.count(&mut counters, 20).await;
    let failed = stage.reaches(rebuild.id, State::Failed).await;
    let reason = failed.error.expect("a reason");
    assert!(reason.contains("canceling statement"), "{reason}");
    stage.assert_counted(&counters).await;
    process.stop().await;
}
