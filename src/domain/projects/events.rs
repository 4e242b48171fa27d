//! What happens to a project.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProjectEvent {
    #[serde(rename = "project.created")]
    Created {
        /// Trimmed.
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// Both members are as they are from now on.
    #[serde(rename = "project.changed")]
    Changed {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    #[serde(rename = "project.deleted")]
    Deleted {},
}
