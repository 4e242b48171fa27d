//! Random histories of orders, and what each shipped model of them comes to, folded plainly, one event after the other.

use std::collections::BTreeMap;

use annals::log::{Append, Event, Expected};
use serde_json::Value;
use uuid::Uuid;

use crate::support::append_to;

/// Makes a history; the same one for a seed.
pub(crate) struct Orders {
    ids: Vec<(Uuid, bool)>,
    seed: u64,
}

impl Orders {
    pub(crate) fn new(count: usize, seed: u64) -> Self {
        Self { ids: (0..count).map(|_| (Uuid::now_v7(), false)).collect(), seed: seed | 1 }
    }

    /// xorshift64.
    pub(crate) fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    /// One to three events of some order.
    pub(crate) fn next(&mut self) -> Append {
        let index = self.random(self.ids.len() as u64) as usize;
        let (id, exists) = self.ids[index];
        self.ids[index].1 = true;
        let mut events: Vec<(&str, String)> = Vec::new();
        for number in 0..=self.random(3) {
            let amount = format!("{}.{:02}", self.random(50), self.random(100));
            let kind = if exists || number > 0 { self.random(7) + 1 } else { 0 };
            let customer = self.random(4);
            events.push(match kind {
                0 => (
                    "order.created",
                    format!(r#"{{"customer_id":"c-{customer}","items":[],"total":{amount}}}"#),
                ),
                1 => ("order.items_replaced", format!(r#"{{"items":[],"total":{amount}}}"#)),
                2 => ("order.confirmed", "{}".into()),
                3 => ("order.paid", format!(r#"{{"amount":{amount},"reference":"r"}}"#)),
                4 => ("order.shipped", r#"{"carrier":"c","tracking":"t"}"#.into()),
                5 => ("order.delivered", "{}".into()),
                6 => ("order.cancelled", r#"{"reason":"r"}"#.into()),
                _ => {
                    let in_full = customer == 0;
                    ("order.refunded", format!(r#"{{"amount":{amount},"reason":"r","in_full":{in_full}}}"#))
                }
            });
        }
        let events: Vec<_> = events.iter().map(|(event, data)| (*event, data.as_str())).collect();
        append_to(id, Expected::Any, &events)
    }
}

/// What the models come to: their rows by key, as text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Naive {
    pub(crate) orders: BTreeMap<String, String>,
    pub(crate) customers: BTreeMap<String, String>,
    pub(crate) days: BTreeMap<String, String>,
    pub(crate) timeline: BTreeMap<String, String>,
}

#[derive(Default)]
struct Order {
    customer: String,
    status: String,
    total: i64,
    paid: i64,
    refunded: i64,
}

/// Orders, total, cancelled, refunded.
type Customer = (i64, i64, i64, i64);
/// Payments, paid, refunds, refunded.
type Day = (i64, i64, i64, i64);

pub(crate) fn fold(events: &[Event]) -> Naive {
    let mut naive = Naive::default();
    let mut orders: BTreeMap<Uuid, Order> = BTreeMap::new();
    let mut customers: BTreeMap<String, Customer> = BTreeMap::new();
    let mut days: BTreeMap<String, Day> = BTreeMap::new();
    for event in events {
        let data: Value = event.data.parse().expect("JSON");
        let order = orders.entry(event.stream_id).or_default();
        if event.event_type == "order.created" {
            order.customer = data["customer_id"].as_str().expect("a customer").to_owned();
            customers.entry(order.customer.clone()).or_default().0 += 1;
        }
        let customer = customers.get_mut(&order.customer).expect("an order has a customer");
        let day = days.entry(event.recorded_at.format("%F").to_string());
        match event.event_type.as_str() {
            "order.created" | "order.items_replaced" => {
                customer.1 += cents(&data["total"]) - order.total;
                order.total = cents(&data["total"]);
            }
            "order.paid" => {
                order.paid = cents(&data["amount"]);
                let day = day.or_default();
                (day.0, day.1) = (day.0 + 1, day.1 + order.paid);
            }
            "order.refunded" => {
                let amount = cents(&data["amount"]);
                order.refunded += amount;
                customer.3 += amount;
                let day = day.or_default();
                (day.2, day.3) = (day.2 + 1, day.3 + amount);
            }
            "order.cancelled" => customer.2 += 1,
            _ => {}
        }
        match event.event_type.as_str() {
            "order.items_replaced" => {}
            "order.refunded" if data["in_full"] == false => {}
            other => order.status = other["order.".len()..].to_owned(),
        }
        let Order { status, total, paid, refunded, .. } = order;
        let row =
            format!("{status} {} {} {} {}", money(*total), money(*paid), money(*refunded), event.version.0);
        naive.orders.insert(event.stream_id.to_string(), row);
        let row = format!("{} {} test", event.stream_id, event.version.0);
        naive.timeline.insert(event.position.0.to_string(), row);
    }
    let customer = |(name, (count, total, cancelled, refunded)): (String, Customer)| {
        (name, format!("{count} {} {cancelled} {}", money(total), money(refunded)))
    };
    naive.customers = customers.into_iter().map(customer).collect();
    let day = |(day, (payments, paid, refunds, refunded)): (String, Day)| {
        (day, format!("{payments} {} {refunds} {} {}", money(paid), money(refunded), money(paid - refunded)))
    };
    naive.days = days.into_iter().map(day).collect();
    naive
}

fn cents(amount: &Value) -> i64 {
    let (units, cents) =
        amount.to_string().split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("places");
    units.parse::<i64>().expect("a number") * 100 + cents.parse::<i64>().expect("a number")
}

fn money(cents: i64) -> String {
    format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100)
}
