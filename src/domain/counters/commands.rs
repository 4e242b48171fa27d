//! What can be asked of a counter. Codes arrive here sealed: as their salted hashes.

use serde::Deserialize;
use serde_json::Value;

use crate::aggregate::Violation;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CounterCommand {
    Create { code_hash: String },
    Increment { by: i64 },
    SubmitCode { code_hash: String },
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Increment {
    #[serde(default = "one")]
    by: i64,
}

fn one() -> i64 {
    1
}

impl CounterCommand {
    /// Reads the command `name` from its body.
    pub fn read(name: &str, body: &Value) -> Result<Self, Vec<Violation>> {
        match name {
            "counter.create" => typed::<Code>(body).map(|Code { code }| Self::Create { code_hash: code }),
            "counter.increment" => typed::<Increment>(body).map(|Increment { by }| Self::Increment { by }),
            "counter.submit-code" => {
                typed::<Code>(body).map(|Code { code }| Self::SubmitCode { code_hash: code })
            }
            other => Err(vec![Violation::at("", format!("a counter has no command `{other}`"))]),
        }
    }

    /// Replaces the code in a body by what `salted` makes of it.
    pub fn seal(body: &mut Value, salted: &dyn Fn(&str) -> String) {
        if let Some(Value::String(code)) = body.get_mut("code") {
            *code = salted(code);
        }
    }
}

fn typed<'de, T: Deserialize<'de>>(body: &'de Value) -> Result<T, Vec<Violation>> {
    T::deserialize(body).map_err(|error| vec![Violation::at("", error.to_string())])
}
