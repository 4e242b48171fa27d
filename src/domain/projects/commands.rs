//! What can be asked of a project.

use serde::Deserialize;
use serde_json::Value;

use crate::aggregate::{self, Violation};

/// Longest name, in code points, after trimming.
const NAME_MAX: usize = 25;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum ProjectCommand {
    #[serde(rename = "project.create")]
    Create { name: String, description: Option<String> },
    #[serde(rename = "project.update")]
    Update { name: String, description: Option<String> },
    #[serde(rename = "project.delete")]
    Delete {},
}

impl ProjectCommand {
    /// Reads the command `name` from its body.
    pub fn read(name: &str, body: &Value) -> Result<Self, Vec<Violation>> {
        let mut command = aggregate::read(name, body)?;
        if let Self::Create { name, .. } | Self::Update { name, .. } = &mut command {
            *name = trimmed(name)?;
        }
        Ok(command)
    }
}

fn trimmed(name: &str) -> Result<String, Vec<Violation>> {
    let name = name.trim();
    if !(1..=NAME_MAX).contains(&name.chars().count()) {
        let detail = format!("must have 1 to {NAME_MAX} characters after trimming");
        return Err(vec![Violation::at("/name", detail)]);
    }
    Ok(name.to_owned())
}
