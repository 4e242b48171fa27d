//! Where a page ended, as an opaque text: base64url of JSON.
//!
//! A cursor belongs to one generation and one order, since another generation may hold other rows.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::Error;

/// Longest cursor that is looked at.
const LENGTH_MAX: usize = 8_192;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    #[serde(rename = "m")]
    pub(super) read_model: String,
    #[serde(rename = "g")]
    pub(super) generation: i32,
    #[serde(rename = "s")]
    pub(super) sort: String,
    /// The last row's values of the columns it is sorted by, as text.
    #[serde(rename = "v")]
    pub(super) values: Vec<String>,
}

fn refused(reason: &str) -> Error {
    Error::BadCursor(reason.to_owned())
}

impl Cursor {
    pub(super) fn encode(&self) -> String {
        let json = serde_json::to_vec(self).expect("strings and numbers always serialize");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads a cursor that has to continue this read model and generation.
    pub(super) fn decode(text: &str, read_model: &str, generation: i32) -> Result<Self, Error> {
        let malformed = || refused("it is malformed");
        if text.len() > LENGTH_MAX {
            return Err(malformed());
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed())?;
        let cursor: Self = serde_json::from_slice(&json).map_err(|_| malformed())?;
        if cursor.read_model != read_model {
            return Err(refused("it is of another read model"));
        }
        if cursor.generation != generation {
            return Err(refused("the read model was rebuilt since; begin again without a cursor"));
        }
        Ok(cursor)
    }

    /// Refuses one that has to continue another order than this, of so many columns.
    pub(super) fn check_sort(&self, sort: &str, columns: usize) -> Result<(), Error> {
        match (self.sort == sort, self.values.len() == columns) {
            (true, true) => Ok(()),
            (true, false) => Err(refused("it is malformed")),
            (false, _) => Err(refused("it is of another `sort`")),
        }
    }
}
