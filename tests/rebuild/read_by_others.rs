//! Old generations that somebody else reads: dropped later, without standing in anybody's way meanwhile.

use std::fs;

use annals::rebuild::{self, Options, State};
use uuid::Uuid;

use crate::{
    stage::{Counters, Stage},
    support::{process::Process, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_reads_is_not_tried_again_and_again() {
    let stage = Stage::new().await;
    let log = tempfile::NamedTempFile::new().expect("a file");
    let settings = [("projector_poll_interval_ms", "50"), ("projector_keep_old_seconds", "0")];
    let log_file = log.reopen().expect("a file");
    let _process = Process::serve_logging(&stage.database, &settings, log_file);
    let mut counters = Counters::new(10);
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;

    let mut backup = stage.database.client().await;
    let reading = backup.transaction().await.expect("a transaction");
    let lock = "lock table projection_counters_1.counters in access share mode";
    reading.batch_execute(lock).await.expect("read");
    let rebuild = stage.start(Options::default()).await;
    stage.reaches(rebuild.id, State::Done).await;
    let told =
        || fs::read_to_string(log.path()).expect("text").matches("old generations are dropped later").count();
    until("it cannot be dropped", async || told() > 0).await;

    // Whoever carries these on would come by the old one several times.
    for _ in 0..2 {
        let id = Uuid::now_v7();
        let begun = rebuild::start(&stage.database.pool(), id, "projects", None, Options::default()).await;
        begun.expect("it begins");
        stage.reaches(id, State::Done).await;
    }
    assert_eq!(told(), 1);
    assert!(stage.schemas().await.contains(&"projection_counters_1".to_owned()), "it is there");
}
