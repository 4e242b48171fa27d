//! What admins ask for, as the program puts it after it has checked what they sent.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::events::Action;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum AdminCommand {
    #[serde(rename = "admin.create-key")]
    CreateKey { key_hash: String, name: String, roles: Vec<String>, expires_at: Option<String> },
    #[serde(rename = "admin.revoke-key")]
    RevokeKey {},
    #[serde(rename = "admin.act")]
    Act {
        action: Action,
        projection: String,
        rebuild_id: Option<Uuid>,
        #[serde(default)]
        options: Value,
    },
    #[serde(rename = "admin.drop-projection")]
    DropProjection { projection: String, made_at: String },
    #[serde(rename = "admin.reconcile")]
    Reconcile { dry_run: bool },
    #[serde(rename = "admin.end-reconcile")]
    EndReconcile { topics: Value, sent_again: Vec<String>, error: Option<String> },
    #[serde(rename = "admin.begin-incarnation")]
    BeginIncarnation { log_id: Uuid },
}
