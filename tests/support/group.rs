//! How a consumer group has shared its partitions out, as the broker tells it.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};

use super::{Database, until};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until the group of a projection over Kafka has so many workers, each with partitions of its own.
pub async fn is_shared_by(
    database: &Database,
    brokers: &str,
    topic_prefix: &str,
    projection: &str,
    workers: usize,
) {
    let log_id = database.identity().await.log_id;
    let group = format!("{topic_prefix}.{projection}.{log_id}");
    until(&format!("{workers} share the partitions of {projection}"), async || {
        let shares = tokio::task::block_in_place(|| shares(brokers, &group));
        shares.is_some_and(|shares| shares.len() == workers && !shares.contains(&0))
    })
    .await;
}

/// How many partitions each member of a group has; `None` while it is sharing them out. Blocks.
fn shares(brokers: &str, group: &str) -> Option<Vec<usize>> {
    let asking: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a client");
    // A coordinator that is being looked for answers with an error.
    let groups = asking.fetch_group_list(Some(group), TIMEOUT).ok()?;
    let group = groups.groups().first().filter(|group| group.state() == "Stable")?;
    Some(group.members().iter().map(|member| partitions(member.assignment().unwrap_or_default())).collect())
}

/// The partitions of an assignment: a version, then topics with their partitions, all in network order.
fn partitions(assignment: &[u8]) -> usize {
    let mut rest = assignment.get(2..).unwrap_or_default();
    let mut number = |bytes: usize| {
        let (taken, left) = rest.split_at_checked(bytes)?;
        rest = left;
        Some(taken.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    let mut count = 0;
    for _ in 0..number(4).unwrap_or_default() {
        let name = number(2).expect("a topic's name");
        number(name).expect("a topic's name");
        let partitions = number(4).expect("partitions");
        number(4 * partitions).expect("partitions");
        count += partitions;
    }
    count
}
