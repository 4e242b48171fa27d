//! The consistency token: a log and a position in it, which a later read must have reached.
//!
//! Opaque to callers. The invariant: a token is taken only by the log that gave it out, and only up to its head.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use poem::http::HeaderMap;
use uuid::Uuid;

use super::{
    problem::{Problem, kind},
    reply::CONSISTENCY_TOKEN,
};
use crate::log::{LogReader, Position};

/// The token where headers cannot be set.
const IN_QUERY: &str = "consistency_token";

/// Makes tokens and reads them.
pub(crate) struct Tokens {
    log_id: Uuid,
    log: LogReader,
}

impl Tokens {
    pub(crate) fn new(log_id: Uuid, log: LogReader) -> Self {
        Self { log_id, log }
    }

    /// The token of a position that this log has.
    pub(crate) fn give(&self, position: Position) -> String {
        encode(self.log_id, position)
    }

    /// The position that a read must have reached, by its header or else its query, out of which the token is taken.
    pub(crate) async fn of_read(
        &self,
        headers: &HeaderMap,
        query: &mut Vec<(String, String)>,
    ) -> Result<Option<Position>, Problem> {
        let in_query: Vec<_> = query.extract_if(.., |(name, _)| name == IN_QUERY).collect();
        let token = match headers.get(CONSISTENCY_TOKEN) {
            // What is no text is no token of ours either.
            Some(value) => Some(value.to_str().unwrap_or_default()),
            None => in_query.first().map(|(_, token)| token.as_str()),
        };
        match token {
            Some(token) => Ok(Some(self.take(token).await?)),
            None => Ok(None),
        }
    }

    /// The position a token stands for.
    async fn take(&self, token: &str) -> Result<Position, Problem> {
        let refuse = |detail: &str| Problem::new(kind::MALFORMED, detail);
        let (log_id, position) =
            decode(token).ok_or_else(|| refuse("The consistency token is malformed."))?;
        if log_id != self.log_id {
            return Err(refuse("The consistency token is of another log."));
        }
        // The log never shrinks, so only a token beyond what is known of it has to ask.
        if position > self.log.known() && position > self.log.head().await? {
            return Err(refuse("The consistency token is beyond the end of the log."));
        }
        Ok(position)
    }
}

fn encode(log_id: Uuid, position: Position) -> String {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(log_id.as_bytes());
    bytes[16..].copy_from_slice(&position.0.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(token: &str) -> Option<(Uuid, Position)> {
    let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
    let (log_id, position) = bytes.split_at(16);
    let position = i64::from_be_bytes(position.try_into().ok()?);
    (position >= 0).then_some((Uuid::from_slice(log_id).ok()?, Position(position)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_log_and_position() {
        let log_id = Uuid::now_v7();
        let token = encode(log_id, Position(i64::MAX));
        assert_eq!(token.len(), 32);
        assert_eq!(decode(&token), Some((log_id, Position(i64::MAX))));
    }

    #[test]
    fn what_was_never_given_out_is_malformed() {
        let negative = encode(Uuid::nil(), Position(-1));
        for odd in ["", "abc", "AAAA", &negative, &"A".repeat(33), "ä"] {
            assert_eq!(decode(odd), None, "{odd}");
        }
    }
}
