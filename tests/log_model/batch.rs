//! A batch sent straight to `log.append`, without the program in between.

use serde_json::{Value, json};
use tokio_postgres::{Client, Error, Row};
use uuid::Uuid;

use crate::model::{Outcome, Request};

const APPEND: &str = include_str!("../../src/log/append.sql");
/// The scope of every claim.
pub(crate) const SCOPE: &str = "model";

/// Sends a batch. `data` is the data of every event.
pub(crate) async fn append(client: &Client, batch: &[Request], data: &str) -> Result<Vec<Outcome>, Error> {
    let column = |value: &dyn Fn(&Request) -> String| batch.iter().map(value).collect::<Vec<_>>();
    let number = |value: &dyn Fn(&Request) -> i32| batch.iter().map(value).collect::<Vec<_>>();
    let id = |value: &dyn Fn(&Request) -> Uuid| batch.iter().map(value).collect::<Vec<_>>();
    let keys: Vec<Option<String>> = batch.iter().map(|request| request.key.clone()).collect();
    let fingerprints: Vec<Vec<u8>> = batch.iter().map(|request| vec![request.fingerprint; 32]).collect();
    let expected: Vec<Option<i64>> = batch.iter().map(|request| request.expected).collect();
    let answers: Vec<Value> = batch.iter().map(|request| json!({ "of": request.command_id })).collect();
    let (mut of, mut numbers, mut claim_of, mut values, mut taken) = (vec![], vec![], vec![], vec![], vec![]);
    for (index, request) in (1_i32..).zip(batch) {
        for event in 1..=request.events as i32 {
            of.push(index);
            numbers.push(event);
        }
        for (value, take) in &request.claims {
            claim_of.push(index);
            values.push(value.as_str());
            taken.push(*take);
        }
    }
    let events = of.len();
    let ids: Vec<Uuid> = (0..events).map(|_| Uuid::now_v7()).collect();
    let types: Vec<String> =
        of.iter().map(|index| format!("{}.happened", batch[*index as usize - 1].stream_type)).collect();
    // Sent as text, as the program does: what is no JSON for Postgres is refused there.
    let data = vec![annals::json::RawJson::trusted(data); events];
    let metadata = vec![annals::json::RawJson::trusted(r#"{"actor":"model"}"#); events];
    let rows = client
        .query(
            APPEND,
            &[
                &id(&|request| request.command_id),
                &column(&|request| request.principal.clone()),
                &keys,
                &fingerprints,
                &column(&|_| "model.append".into()),
                &column(&|_| "model".into()),
                &column(&|request| request.stream_type.into()),
                &id(&|request| request.stream_id),
                &expected,
                &vec![None::<Uuid>; batch.len()],
                &number(&|request| request.events as i32),
                &column(&|request| if request.events > 0 { "done".into() } else { "rejected".into() }),
                &answers,
                &of,
                &numbers,
                &ids,
                &types,
                &vec![1_i32; events],
                &data,
                &metadata,
                &claim_of,
                &vec![SCOPE; values.len()],
                &values,
                &taken,
                &4_i32,
            ],
        )
        .await?;
    let first_claim = |request: i32| claim_of.iter().position(|of| *of == request).unwrap_or(0);
    Ok((1..).zip(&rows).map(|(request, row)| outcome(row, first_claim(request))).collect())
}

fn outcome(row: &Row, first_claim: usize) -> Outcome {
    let version: i64 = row.get(1);
    match row.get(0) {
        "appended" => {
            let first: Option<i64> = row.get(2);
            Outcome::Appended(version, first.map(|first| (first, row.get(3))))
        }
        "duplicate" => duplicate(&row.get(5)),
        "fingerprint" => Outcome::Fingerprint,
        "conflict" => Outcome::Conflict(version),
        "claimed" => Outcome::Claimed(row.get::<_, i32>(4) as usize - 1 - first_claim),
        other => panic!("{other}"),
    }
}

fn duplicate(first: &Value) -> Outcome {
    let id: Uuid = first["command_id"].as_str().expect("an id").parse().expect("a uuid");
    assert_eq!(first["answer"], json!({ "of": id }), "the first answer, as it was");
    let status = if first["status"] == "done" { "done" } else { "rejected" };
    let position = |name: &str| first[name].as_i64();
    let positions = position("first_position").zip(position("last_position"));
    Outcome::Duplicate(id, status, first["version"].as_i64().expect("a version"), positions)
}
