//! What happens to a counter.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CounterEvent {
    #[serde(rename = "counter.created")]
    Created {
        /// The salted hash of the code; the code itself is stored nowhere.
        code_hash: String,
    },
    #[serde(rename = "counter.incremented")]
    Incremented { by: i64 },
    #[serde(rename = "counter.reset")]
    Reset {},
}
