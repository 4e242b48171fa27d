//! What can be asked of a counter. Codes arrive here sealed: as their salted hashes.

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum CounterCommand {
    #[serde(rename = "counter.create")]
    Create {
        #[serde(rename = "code")]
        code_hash: String,
    },
    #[serde(rename = "counter.increment")]
    Increment {
        #[serde(default = "one")]
        by: i64,
    },
    #[serde(rename = "counter.submit-code")]
    SubmitCode {
        #[serde(rename = "code")]
        code_hash: String,
    },
}

fn one() -> i64 {
    1
}

impl CounterCommand {
    /// Replaces the code in a body by what `salted` makes of it.
    pub fn seal(body: &mut Value, salted: &dyn Fn(&str) -> String) {
        if let Some(Value::String(code)) = body.get_mut("code") {
            *code = salted(code);
        }
    }
}
