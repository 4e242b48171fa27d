//! What admins ask for, as the program puts it after it has checked what they sent.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::events::Action;
use crate::aggregate::Violation;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminCommand {
    CreateKey { key_hash: String, name: String, roles: Vec<String>, expires_at: Option<String> },
    RevokeKey,
    Act { action: Action, projection: String, rebuild_id: Option<Uuid>, options: Value },
    DropProjection { projection: String, made_at: String },
    Reconcile { dry_run: bool },
    EndReconcile { topics: Value, sent_again: Vec<String>, error: Option<String> },
    BeginIncarnation { log_id: Uuid },
}

#[derive(Deserialize)]
struct CreateKey {
    key_hash: String,
    name: String,
    roles: Vec<String>,
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct Act {
    action: Action,
    projection: String,
    rebuild_id: Option<Uuid>,
    #[serde(default)]
    options: Value,
}

#[derive(Deserialize)]
struct DropProjection {
    projection: String,
    made_at: String,
}

#[derive(Deserialize)]
struct Reconcile {
    dry_run: bool,
}

#[derive(Deserialize)]
struct EndReconcile {
    topics: Value,
    sent_again: Vec<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct BeginIncarnation {
    log_id: Uuid,
}

impl AdminCommand {
    /// Reads the command `name` from its body.
    pub fn read(name: &str, body: &Value) -> Result<Self, Vec<Violation>> {
        let odd = |error: serde_json::Error| vec![Violation::at("", error.to_string())];
        match name {
            "admin.create-key" => {
                let CreateKey { key_hash, name, roles, expires_at } =
                    CreateKey::deserialize(body).map_err(odd)?;
                Ok(Self::CreateKey { key_hash, name, roles, expires_at })
            }
            "admin.revoke-key" => Ok(Self::RevokeKey),
            "admin.act" => {
                let Act { action, projection, rebuild_id, options } = Act::deserialize(body).map_err(odd)?;
                Ok(Self::Act { action, projection, rebuild_id, options })
            }
            "admin.drop-projection" => {
                let DropProjection { projection, made_at } =
                    DropProjection::deserialize(body).map_err(odd)?;
                Ok(Self::DropProjection { projection, made_at })
            }
            "admin.reconcile" => {
                let Reconcile { dry_run } = Reconcile::deserialize(body).map_err(odd)?;
                Ok(Self::Reconcile { dry_run })
            }
            "admin.end-reconcile" => {
                let EndReconcile { topics, sent_again, error } =
                    EndReconcile::deserialize(body).map_err(odd)?;
                Ok(Self::EndReconcile { topics, sent_again, error })
            }
            "admin.begin-incarnation" => {
                let BeginIncarnation { log_id } = BeginIncarnation::deserialize(body).map_err(odd)?;
                Ok(Self::BeginIncarnation { log_id })
            }
            other => Err(vec![Violation::at("", format!("an admin has no command `{other}`"))]),
        }
    }
}
