//! What can be asked of a project.

use serde::Deserialize;
use serde_json::Value;

use crate::aggregate::Violation;

/// Longest name, in code points, after trimming.
const NAME_MAX: usize = 25;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectCommand {
    Create { name: String, description: Option<String> },
    Update { name: String, description: Option<String> },
    Delete,
}

#[derive(Deserialize)]
struct Content {
    name: String,
    description: Option<String>,
}

impl ProjectCommand {
    /// Reads the command `name` from its body.
    pub fn read(name: &str, body: &Value) -> Result<Self, Vec<Violation>> {
        match name {
            "project.create" => content(body).map(|(name, description)| Self::Create { name, description }),
            "project.update" => content(body).map(|(name, description)| Self::Update { name, description }),
            "project.delete" => Ok(Self::Delete),
            other => Err(vec![Violation::at("", format!("a project has no command `{other}`"))]),
        }
    }
}

fn content(body: &Value) -> Result<(String, Option<String>), Vec<Violation>> {
    let Content { name, description } =
        Content::deserialize(body).map_err(|error| vec![Violation::at("", error.to_string())])?;
    let name = name.trim();
    if !(1..=NAME_MAX).contains(&name.chars().count()) {
        return Err(vec![Violation::at(
            "/name",
            format!("must have 1 to {NAME_MAX} characters after trimming"),
        )]);
    }
    Ok((name.to_owned(), description))
}
