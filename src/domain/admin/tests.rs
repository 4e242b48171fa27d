use serde_json::json;

use super::{Admin, AdminCommand, AdminEvent};
use crate::aggregate::{Aggregate, RejectionKind, testing::given};

#[test]
fn a_key_is_revoked_once() {
    let body = json!({"key_hash": "00", "name": "shop", "roles": ["consumer"]});
    let create = Admin::command("admin.create-key", &body).expect("valid");
    let created = given::<Admin>(vec![]).when(create).expect("created");
    assert_eq!(given::<Admin>(created).when(AdminCommand::RevokeKey {}), Ok(vec![AdminEvent::KeyRevoked {}]));
    let again = given::<Admin>(vec![AdminEvent::KeyRevoked {}]).when(AdminCommand::RevokeKey {});
    assert_eq!(again.expect_err("revoked already").kind, RejectionKind::NotFound);
}

#[test]
fn an_action_names_what_it_is_done_to() {
    let odd = json!({"action": "destroy", "projection": "orders"});
    assert!(Admin::command("admin.act", &odd).is_err());
    let act = json!({"action": "pause_rebuild", "projection": "orders", "rebuild_id": null});
    let act = Admin::command("admin.act", &act).expect("valid");
    assert_eq!(given::<Admin>(vec![]).when(act).expect("noted").len(), 1);
}
