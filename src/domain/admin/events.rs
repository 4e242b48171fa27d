//! What admins did.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminEvent {
    /// The stream's id is the key's.
    #[serde(rename = "admin.key_created")]
    KeyCreated {
        /// SHA-256 of the key, in hexadecimal: enough to make the key work, and nothing of the key.
        key_hash: String,
        name: String,
        roles: Vec<String>,
        /// RFC 3339.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<String>,
    },
    #[serde(rename = "admin.key_revoked")]
    KeyRevoked {},
    /// Something is to be done about a projection; the stream's id is made of its name.
    #[serde(rename = "admin.action_requested")]
    ActionRequested {
        action: Action,
        projection: String,
        /// The rebuild that is meant; of a new one its id to be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rebuild_id: Option<Uuid>,
        /// How, where there is a choice.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        options: Value,
    },
    /// A projection is removed with all that is known of it; the stream's id is made of its name.
    #[serde(rename = "admin.projection_dropped")]
    ProjectionDropped {
        projection: String,
        /// When it had been made (RFC 3339): one that is made anew under the same name is another one.
        made_at: String,
    },
    /// Topics are to be compared with the log, and those with a hole or a foreign record sent again; the stream's id is the comparison's.
    #[serde(rename = "admin.reconcile_requested")]
    ReconcileRequested {
        /// Only compared.
        dry_run: bool,
    },
    #[serde(rename = "admin.reconcile_ended")]
    ReconcileEnded {
        /// By topic: what it lacks, and what it should not have.
        topics: Value,
        /// Topics that were deleted for the relay to send them again.
        sent_again: Vec<String>,
        /// Why it broke off.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The log, restored from a backup, is to get a new identity; the stream's id is the former one.
    #[serde(rename = "admin.incarnation_requested")]
    IncarnationRequested {
        /// Its identity until then.
        log_id: Uuid,
    },
}

/// What can be done about a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Rebuild,
    PauseRebuild,
    ResumeRebuild,
    CancelRebuild,
    SwapRebuild,
    RollBack,
    Pause,
    Resume,
    /// Folds what is parked of a stream, which `options` names.
    RetryParked,
    /// The same, without its first event.
    SkipParked,
}
