//! Whether the brokers let us in, asked before anything that would only run out of time.
//!
//! librdkafka goes on trying for ever: a wrong password and an unknown authority look like brokers that are away, and the
//! reason is in its log alone. Brokers that are away are none of this module's business: whoever needs them waits.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::time::Instant;

use super::{Quiet, client};
use crate::config;

/// How long an answer is waited for: a broker that is there refuses within a few round trips.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one try for an answer takes.
const SLICE: Duration = Duration::from_millis(50);

/// Why the brokers do not let us in, with the setting to look at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("Kafka refuses who we are (look at ANNALS_KAFKA_SASL_MECHANISM, …_USERNAME and …_PASSWORD): {0}")]
    Authentication(String),
    #[error("no TLS with Kafka (look at ANNALS_KAFKA_CA_FILE and ANNALS_KAFKA_SECURITY_PROTOCOL): {0}")]
    Tls(String),
}

/// An error where brokers answer and every one refuses; else one let us in, or none answered in time. Blocks.
pub fn knock(kafka: &config::Kafka) -> Result<(), Refused> {
    // A client that cannot be made is told by whoever makes the next one.
    let Ok(consumer) = client(kafka).create_with_context::<_, BaseConsumer<Listening>>(Listening::default())
    else {
        return Ok(());
    };
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && consumer.fetch_metadata(None, SLICE).is_err() {
        while consumer.poll(SLICE).is_some() {}
        let heard = consumer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Heard { refused: Some(refused), all_down: true } = &*heard {
            return Err(refused.clone());
        }
    }
    Ok(())
}

/// Takes in what librdkafka says.
#[derive(Default)]
struct Listening(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    /// By the last broker that refused.
    refused: Option<Refused>,
    all_down: bool,
}

impl ClientContext for Listening {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, SSL};
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // How long it took and how often it was is another each time, and would make the same refusal news.
        let told = || reason.split(" (after ").next().unwrap_or(reason).to_owned();
        match error.rdkafka_error_code() {
            Some(Authentication) => heard.refused = Some(Refused::Authentication(told())),
            Some(SSL) => heard.refused = Some(Refused::Tls(told())),
            Some(AllBrokersDown) => heard.all_down = true,
            _ => {}
        }
        Quiet.error(error, reason);
    }
}

impl ConsumerContext for Listening {}
