//! How far projections are behind, told from the checkpoints and the log alone.

use std::collections::BTreeMap;

use annals::projector::{self, Lag, Status};

use crate::{
    stage::{Counters, Stage, shipped},
    support::until,
};

impl Stage {
    async fn lags(&self) -> BTreeMap<String, Lag> {
        projector::lags(&self.database.reader(), &self.database.pool()).await.expect("told")
    }

    async fn lag(&self) -> Lag {
        self.lags().await["counters"]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_told_in_events_and_in_time_and_idle_partitions_have_none() {
    for over_kafka in [false, true] {
        let stage = Stage::new().await;
        let _relay = if over_kafka { Some(stage.relay().await) } else { None };
        let folder = shipped("counters");
        let process = match over_kafka {
            true => stage.kafka_process(&[&folder], &[]).await,
            false => stage.process(&[&folder], &[]).await,
        };
        until("the projection is made", async || stage.lags().await.contains_key("counters")).await;
        // Over Kafka all partitions but the last counter's stand where they stood.
        let (mut counters, mut last) = (Counters::new(20), Counters::new(1));
        stage.count(&mut counters, 20).await;
        stage.count(&mut last, 20).await;
        until("all is folded", async || stage.lag().await == Lag::default()).await;

        let pool = stage.database.pool();
        projector::set_paused(&pool, "counters", true).await.expect("paused");
        stage.count(&mut last, 1).await;
        until("it is paused", async || process.status("counters") == Status::Paused).await;
        until("the lag is told", async || stage.lag().await.events > 0).await;
        let before = stage.lag().await;
        let head = stage.database.reader().head().await.expect("a head");
        stage.count(&mut last, 5).await;
        let events = stage.database.reader().head().await.expect("a head").0 - head.0;
        let now = stage.lag().await;
        assert_eq!(now.events, before.events + events, "over Kafka: {over_kafka}");
        assert!(now.seconds > before.seconds && before.seconds > 0.0, "{before:?}, {now:?}");

        projector::set_paused(&pool, "counters", false).await.expect("resumed");
        until("all is folded", async || stage.lag().await == Lag::default()).await;
        process.stop().await;
    }
}
