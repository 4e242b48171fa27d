//! The rules of what admins do: a key is created once and revoked once. Whether an action on a projection is possible depends
//! on the projection's own state, which is not in the log.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{commands::AdminCommand, events::AdminEvent, schemas::SCHEMAS};
use crate::aggregate::{Aggregate, CommandType, EventSchema, EventType, Rejection};

/// The aggregate.
pub struct Admin;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminState {
    /// Of a key's stream.
    pub revoked: bool,
}

impl Aggregate for Admin {
    const STREAM_TYPE: &'static str = "admin";
    const REVISION: u32 = 1;
    /// Without a schema: nobody sends them but the program.
    const COMMANDS: &'static [CommandType] = &[
        CommandType::new("admin.create-key", "").creating(),
        CommandType::new("admin.revoke-key", ""),
        CommandType::new("admin.act", ""),
        CommandType::new("admin.drop-projection", ""),
        CommandType::new("admin.reconcile", "").creating(),
        CommandType::new("admin.end-reconcile", ""),
        CommandType::new("admin.begin-incarnation", ""),
    ];
    const EVENTS: &'static [EventType] = &[
        EventType::new("admin.key_created", 1),
        EventType::new("admin.key_revoked", 1),
        EventType::new("admin.action_requested", 1),
        EventType::new("admin.projection_dropped", 1),
        EventType::new("admin.reconcile_requested", 1),
        EventType::new("admin.reconcile_ended", 1),
        EventType::new("admin.incarnation_requested", 1),
    ];
    const SCHEMAS: &'static [EventSchema] = SCHEMAS;

    type State = AdminState;
    type Command = AdminCommand;
    type Event = AdminEvent;

    fn decide(state: &AdminState, command: AdminCommand) -> Result<Vec<AdminEvent>, Rejection> {
        match command {
            AdminCommand::CreateKey { key_hash, name, roles, expires_at } => {
                Ok(vec![AdminEvent::KeyCreated { key_hash, name, roles, expires_at }])
            }
            AdminCommand::RevokeKey {} if state.revoked => {
                Err(Rejection::not_found("the key is revoked already"))
            }
            // Keys of older versions of the command line have no event of their own before.
            AdminCommand::RevokeKey {} => Ok(vec![AdminEvent::KeyRevoked {}]),
            AdminCommand::Act { action, projection, rebuild_id, options } => {
                Ok(vec![AdminEvent::ActionRequested { action, projection, rebuild_id, options }])
            }
            AdminCommand::DropProjection { projection, made_at } => {
                Ok(vec![AdminEvent::ProjectionDropped { projection, made_at }])
            }
            AdminCommand::Reconcile { dry_run } => Ok(vec![AdminEvent::ReconcileRequested { dry_run }]),
            AdminCommand::EndReconcile { topics, sent_again, error } => {
                Ok(vec![AdminEvent::ReconcileEnded { topics, sent_again, error }])
            }
            AdminCommand::BeginIncarnation { log_id } => {
                Ok(vec![AdminEvent::IncarnationRequested { log_id }])
            }
        }
    }

    fn evolve(state: AdminState, event: &AdminEvent) -> AdminState {
        match event {
            AdminEvent::KeyRevoked {} => AdminState { revoked: true },
            AdminEvent::KeyCreated { .. }
            | AdminEvent::ActionRequested { .. }
            | AdminEvent::ProjectionDropped { .. }
            | AdminEvent::ReconcileRequested { .. }
            | AdminEvent::ReconcileEnded { .. }
            | AdminEvent::IncarnationRequested { .. } => state,
        }
    }

    fn answer(_state: &AdminState, id: Uuid, _version: i64, _command: &str) -> Value {
        json!({ "id": id })
    }
}
