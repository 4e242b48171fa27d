//! How Kafka is spoken to.

use std::{fs::File, path::PathBuf};

use secrecy::SecretString;

use super::Sources;

/// Encryption, and who we are to the brokers.
#[derive(Debug, Clone)]
pub struct KafkaSecurity {
    /// librdkafka's `security.protocol`.
    pub protocol: &'static str,
    /// Authorities that brokers' certificates are held against; those of the system otherwise.
    pub ca_file: Option<PathBuf>,
    pub sasl: Option<Sasl>,
}

/// How we prove who we are.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// librdkafka's `sasl.mechanism`.
    pub mechanism: &'static str,
    pub username: String,
    pub password: SecretString,
}

impl KafkaSecurity {
    pub(super) fn read(from: &mut Sources) -> Self {
        let protocols = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"].map(|name| (name, name));
        let mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(|name| (name, name));
        let protocol = from.choice("kafka_security_protocol", &protocols);
        let ca_file: Option<String> = from.optional("kafka_ca_file");
        // By itself librdkafka says "system lib" of a file that is not there.
        if let Some(Err(error)) = ca_file.as_ref().map(File::open) {
            from.fault("kafka_ca_file", format!("cannot be read: {error}"));
        }
        let mechanism = from.choice("kafka_sasl_mechanism", &mechanisms);
        let username: Option<String> = from.optional("kafka_sasl_username");
        let password = from.secret("kafka_sasl_password");
        let sasl = match (protocol.starts_with("sasl"), username, password) {
            (true, Some(username), Some(password)) => Some(Sasl { mechanism, username, password }),
            (true, ..) => {
                let detail = "is by SASL: set kafka_sasl_username and kafka_sasl_password too";
                from.fault("kafka_security_protocol", detail.into());
                None
            }
            (false, ..) => None,
        };
        Self { protocol, ca_file: ca_file.map(PathBuf::from), sasl }
    }
}
