use serde_json::json;

use super::{Order, OrderCommand, OrderEvent};
use crate::{
    aggregate::{
        RejectionKind, Violation,
        testing::{accepts, given},
    },
    domain::money::Money,
};

fn money(text: &str) -> Money {
    Money::parse(text).expect(text)
}

fn created() -> OrderEvent {
    OrderEvent::Created { customer_id: "c-1".into(), items: vec![], total: money("10.00"), external_id: None }
}

fn paid() -> Vec<OrderEvent> {
    vec![
        created(),
        OrderEvent::Confirmed {},
        OrderEvent::Paid { amount: money("10.00"), reference: "r".into() },
    ]
}

fn refund(amount: &str) -> OrderCommand {
    OrderCommand::Refund { amount: money(amount), reason: "damaged".into() }
}

fn refunded(amount: &str, in_full: bool) -> OrderEvent {
    OrderEvent::Refunded { amount: money(amount), reason: "damaged".into(), in_full }
}

fn all_commands() -> Vec<(&'static str, OrderCommand)> {
    vec![
        ("items", OrderCommand::ReplaceItems { items: vec![], total: money("3.00") }),
        ("confirm", OrderCommand::Confirm {}),
        ("pay", OrderCommand::Pay { amount: money("10.00"), reference: "r".into() }),
        ("ship", OrderCommand::Ship { carrier: "dhl".into(), tracking: "t".into() }),
        ("deliver", OrderCommand::Deliver {}),
        ("cancel", OrderCommand::Cancel { reason: "changed mind".into() }),
        ("refund", refund("1.00")),
    ]
}

/// The state table: in each state exactly the commands listed are accepted, and a refusal lists the same.
#[test]
fn each_state_allows_what_the_table_says() {
    let with = |more: Vec<OrderEvent>| [paid(), more].concat();
    let shipped = OrderEvent::Shipped { carrier: "dhl".into(), tracking: "t".into() };
    let cancelled = OrderEvent::Cancelled { reason: "x".into() };
    let table: Vec<(&str, Vec<OrderEvent>, &[&str])> = vec![
        ("created", vec![created()], &["items", "confirm", "cancel"]),
        ("confirmed", vec![created(), OrderEvent::Confirmed {}], &["pay", "cancel"]),
        ("paid", paid(), &["ship", "cancel", "refund"]),
        ("shipped", with(vec![shipped.clone()]), &["deliver", "refund"]),
        ("delivered", with(vec![shipped, OrderEvent::Delivered {}]), &["refund"]),
        ("cancelled", with(vec![cancelled.clone()]), &["refund"]),
        ("cancelled", vec![created(), cancelled], &[]),
        ("refunded", with(vec![refunded("10.00", true)]), &[]),
    ];
    for (state, history, allowed) in table {
        for (name, command) in all_commands() {
            let outcome = given::<Order>(history.clone()).when(command);
            if allowed.contains(&name) {
                assert_eq!(outcome.expect(name).len(), 1, "{state} {name}");
                continue;
            }
            let rejection = outcome.expect_err(name);
            assert_eq!(rejection.kind, RejectionKind::Rule);
            assert_eq!(rejection.members["state"], json!(state));
            assert_eq!(rejection.members["allowed"], json!(allowed));
        }
    }
}

#[test]
fn an_order_is_created_with_what_was_asked() {
    let body = json!({
        "customer_id": "c-1", "items": [{"sku": "tea", "quantity": 2, "unit_price": 4.5}], "total": 9, "external_id": "e"
    });
    let command = OrderCommand::read("order.create", &body).expect("valid");
    let events = given::<Order>(vec![]).when(command).expect("accepted");
    assert_eq!(
        accepts::<Order>(&events),
        vec![json!({"order.created": {
            "customer_id": "c-1", "items": [{"sku": "tea", "quantity": 2, "unit_price": "4.50"}], "total": "9.00",
            "external_id": "e"
        }})]
    );
}

#[test]
fn an_unknown_order_is_not_found() {
    for (name, command) in all_commands() {
        let rejection = given::<Order>(vec![]).when(command).expect_err(name);
        assert_eq!(rejection.kind, RejectionKind::NotFound);
    }
}

#[test]
fn payment_is_the_total() {
    let history = vec![created(), OrderEvent::Confirmed {}];
    for amount in ["9.99", "10.01", "0"] {
        let pay = OrderCommand::Pay { amount: money(amount), reference: "r".into() };
        assert_eq!(given::<Order>(history.clone()).when(pay).expect_err(amount).kind, RejectionKind::Rule);
    }
}

#[test]
fn replacing_items_changes_what_has_to_be_paid() {
    let replaced = OrderEvent::ItemsReplaced { items: vec![], total: money("3.00") };
    let history = vec![created(), replaced, OrderEvent::Confirmed {}];
    let pay = OrderCommand::Pay { amount: money("3.00"), reference: "r".into() };
    assert!(given::<Order>(history).when(pay).is_ok());
}

#[test]
fn refunds_add_up_to_what_was_paid_and_no_more() {
    let partly = [paid(), vec![refunded("4.00", false)]].concat();
    assert_eq!(given::<Order>(partly.clone()).when(refund("1.00")), Ok(vec![refunded("1.00", false)]));
    assert_eq!(given::<Order>(partly.clone()).when(refund("6.00")), Ok(vec![refunded("6.00", true)]));
    let too_much = given::<Order>(partly).when(refund("6.01")).expect_err("more than was paid");
    assert_eq!(too_much.members["state"], json!("paid"), "a partial refund leaves the state");
}

#[test]
fn the_total_is_the_sum_where_every_item_has_a_price() {
    let body = |price: serde_json::Value, total: &str| {
        let total: serde_json::Value = total.parse().expect("a number");
        json!({"customer_id": "c", "items": [{"sku": "a", "quantity": 3, "unit_price": 0.1}, price], "total": total})
    };
    let priced = json!({"sku": "b", "quantity": 1, "unit_price": 0.7});
    let unpriced = json!({"sku": "b", "quantity": 1});
    assert!(OrderCommand::read("order.create", &body(priced.clone(), "1.00")).is_ok());
    assert!(OrderCommand::read("order.create", &body(unpriced, "77")).is_ok());
    assert_eq!(
        OrderCommand::read("order.create", &body(priced, "1.01")),
        Err(vec![Violation::at("/total", "must be the sum of quantity × unit_price, 1.00")])
    );
}

#[test]
fn every_bad_amount_is_named() {
    let body = r#"{"customer_id": "c", "items": [{"sku": "a", "quantity": 1, "unit_price": 0.123},
                   {"sku": "b", "quantity": 1, "unit_price": 1e400}], "total": 0.30000000000000004}"#;
    let violations = OrderCommand::read("order.create", &serde_json::from_str(body).expect("JSON"))
        .expect_err("three faults");
    let pointers: Vec<_> = violations.iter().map(|violation| violation.pointer.as_str()).collect();
    assert_eq!(pointers, ["/total", "/items/0/unit_price", "/items/1/unit_price"]);
}
