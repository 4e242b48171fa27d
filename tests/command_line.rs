//! The command line: `annals command` on the same pipeline with the same validation; folders that are made to begin with.

mod support;

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use support::{Database, process::Process, until};
use uuid::Uuid;

fn told(printed: &str) -> Value {
    printed.parse().unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_carried_out_and_its_answer_printed() {
    let database = Database::new().await;
    let run = |arguments: &[&str]| told(&Process::run(&database, &[&["command"], arguments].concat(), &[]));
    let create = ["order.create", "--json", support::ORDER, "--idempotency-key", "k", "--as", "auditor-7"];
    let created = run(&create);
    assert_eq!((&created["status"], &created["result"]["status"]), (&"done".into(), &"created".into()));
    assert_eq!(run(&create), created, "a repeat gets the first answer");
    let id = created["result"]["id"].as_str().expect("an id");
    let confirmed = run(&["order.confirm", "--id", id, "--if-match", "1"]);
    assert_eq!(confirmed["version"], 2);
    let events = database.events().await;
    assert_eq!(events.len(), 2);
    assert!(events[0].metadata.as_str().contains("\"cli:auditor-7\""));
    let user = whoami::username().expect("a name");
    assert!(events[1].metadata.as_str().contains(&format!("\"cli:{user}\"")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_is_a_problem_on_stderr_and_exit_code_1() {
    let database = Database::new().await;
    let fail = |arguments: &[&str]| {
        let (code, stderr) =
            Process::fail(&database, &[&["command"], arguments].concat(), &[("log", "error")]);
        assert_eq!(code, Some(1), "{stderr}");
        stderr
    };
    let problem = |arguments: &[&str]| told(&fail(arguments));
    let unknown = "01990000-0000-7000-8000-000000000000";
    let kind = |arguments: &[&str]| problem(arguments)["type"].as_str().expect("a type").to_owned();
    assert_eq!(kind(&["order.confirm", "--id", unknown]), "/problems/not-found");
    assert_eq!(kind(&["order.sing"]), "/problems/not-found");
    // What admins do goes through their routes alone.
    for admin in ["admin.create-key", "admin.revoke-key", "admin.act"] {
        assert_eq!(kind(&[admin, "--id", unknown]), "/problems/not-found");
    }
    assert_eq!(kind(&["order.confirm", "--id", unknown, "--if-match", "3"]), "/problems/not-found");
    let created =
        told(&Process::run(&database, &["command", "counter.create", "--json", r#"{"code": "1"}"#], &[]));
    let id = created["result"]["id"].as_str().expect("an id");
    assert_eq!(kind(&["counter.increment", "--id", id, "--if-match", "3"]), "/problems/version-mismatch");
    let invalid = problem(&["project.create", "--json", r#"{"name": " "}"#]);
    assert_eq!((&invalid["status"], &invalid["errors"][0]["pointer"]), (&422.into(), &"/name".into()));
    let (code, said) = Process::fail(&database, &["command", "project.create", "--json", "{"], &[]);
    assert!(code == Some(2) && said.starts_with("annals: --json is no JSON"), "{said}");
    assert_eq!(database.events().await.len(), 1, "what was created");
}

#[test]
fn who_stops_reading_ends_it_without_a_word() {
    // More than a pipe holds.
    let mut annals = std::process::Command::new(env!("CARGO_BIN_EXE_annals"))
        .arg("openapi")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(annals.stdout.take());
    let ended = annals.wait_with_output().expect("it ends");
    assert_eq!((String::from_utf8_lossy(&ended.stderr).as_ref(), ended.status.code()), ("", Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_is_told_to_machines_too() {
    let database = Database::new().await;
    let bench = ["bench", "append", "--clients", "1,2", "--seconds", "1"];
    let told = Process::run(&database, &[&bench[..], &["--json"]].concat(), &[]);
    let lines: Vec<Value> = told.lines().map(|line| line.parse().expect("JSON")).collect();
    assert_eq!(lines.iter().map(|line| &line["what"]).collect::<Vec<_>>(), ["1 clients", "2 clients"]);
    assert!(lines.iter().all(|line| line["per_second"].as_u64() > Some(0)), "{told}");
    let table = Process::run(&database, &bench, &[]);
    assert_eq!(table.lines().count(), 3, "a head and two lines: {table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_told_what_was_done() {
    let (database, dir) = (Database::empty().await, tempfile::tempdir().expect("made"));
    let dir = dir.path().to_str().expect("UTF-8");
    let run = |arguments: &[&str]| told(&Process::run(&database, &[arguments, &["--json"]].concat(), &[]));
    let migrated = run(&["migrate"]);
    assert!(
        ["log", "read_models"].iter().all(|of| migrated[of].as_array().is_some_and(|all| !all.is_empty()))
    );
    let again = run(&["migrate", "--new-incarnation"]);
    assert_eq!((&again["log"], &again["read_models"]), (&json!([]), &json!([])));
    assert_eq!(again["log_id"], json!(database.identity().await.log_id));
    assert_eq!(run(&["openapi"])["info"]["title"], "Annals");
    assert_eq!(run(&["asyncapi"])["channels"]["order"]["address"], "{prefix}.order");

    let made = run(&["projections", "new", "shipments", "--projections", dir]);
    assert_eq!((&made["name"], made["files"].as_array().map(Vec::len)), (&json!("shipments"), Some(3)));
    let key = run(&["keys", "create", "shop", "--role", "consumer"]);
    let revoked = run(&["keys", "revoke", key["id"].as_str().expect("an id")]);
    assert_eq!((&revoked["id"], &revoked["state"]), (&key["id"], &json!("revoked")));

    let annals = Process::serve(&database, &[], &[]);
    let projection =
        |action: &str, options: &[&str]| run(&[&["projections", action, "orders"], options].concat());
    until("there is the read model", || async {
        let all = run(&["projections", "list"]);
        all.as_array().is_some_and(|all| all.iter().any(|one| one["projection"] == "orders"))
    })
    .await;
    assert_eq!(projection("show", &[])["projection"], "orders");
    assert_eq!(projection("pause", &[])["state"], "paused");
    assert_eq!(projection("resume", &[])["state"], "running");
    assert_eq!(projection("rebuild", &["--manual"])[0]["state"], "waiting");
    assert_eq!(projection("cancel", &[])["projection"], "orders");
    let generation = || projection("show", &[])["generation"].as_i64().expect("a number");
    let before = generation();
    projection("rebuild", &["--manual"]);
    assert!(projection("swap", &[])["id"].is_string(), "the rebuild");
    until("it is swapped", || async { generation() > before }).await;
    assert_eq!(projection("rollback", &[])["generation"], before);
    drop(annals);
    let exported = Process::run(&database, &["audit", "export", "--json"], &[]);
    assert!(exported.lines().map(told).all(|line| line.is_object()));
    let looks = "select target from log.access where principal ^@ 'cli:' and method = 'CLI'";
    let looks = database.client().await.query(looks, &[]).await.expect("readable");
    assert!(
        matches!(&looks[..], [look] if look.get::<_, &str>(0).starts_with("audit export {")),
        "{looks:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_is_not_what_the_log_says_is_told() {
    let database = Database::new().await;
    let settings = [("projector_poll_interval_ms", "50")];
    let _annals = Process::serve(&database, &[], &settings);
    let create =
        || told(&Process::run(&database, &["command", "order.create", "--json", support::ORDER], &[]));
    let [created, ..] = [(); 3].map(|()| create());
    let client = database.client().await;
    let rows = async || {
        let rows = client.query_one("select count(*) from projection_orders_1.orders", &[]).await;
        rows.map_or(0, |row| row.get::<_, i64>(0))
    };
    until("they are folded", async || rows().await == 3).await;
    let show = || told(&Process::run(&database, &["projections", "show", "orders", "--json"], &settings));
    let verify = || {
        let verified =
            Process::output(&database, &["projections", "verify", "orders", "--json"], &[("log", "error")]);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (verified.status.code(), told(&text(verified.stdout)), text(verified.stderr))
    };
    let before = show()["generation"].clone();
    let (code, good, said) = verify();
    assert_eq!((code, &good[0]["state"]), (Some(0), &json!("done")), "{good} {said}");
    assert_eq!(good[0]["comparison"]["tables"][0]["is_equal"], true, "{good}");
    assert_eq!(show()["generation"], before);

    let id: Uuid = created["result"]["id"].as_str().expect("an id").parse().expect("a UUID");
    let tamper = "update projection_orders_1.orders set total = 12.34 where id = $1";
    assert_eq!(client.execute(tamper, &[&id]).await.expect("tampered with"), 1);
    let (code, bad, said) = verify();
    assert!(code == Some(1) && said.contains("1 of 1 rebuilds"), "{code:?} {said}");
    let table = &bad[0]["comparison"]["tables"][0];
    assert_eq!((&table["table"], &table["is_equal"]), (&json!("orders"), &json!(false)), "{bad}");
    assert_eq!(table["only_live"].as_array().map(Vec::len), Some(1), "{bad}");
    let totals = ["only_live", "only_new"].map(|side| table[side][0]["total"].to_string());
    assert_eq!(totals, ["12.34", "9.00"]);
    assert_eq!(show()["generation"], before, "what is served is left as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_folder_works_also_where_its_name_is_a_word_of_sql() {
    let (database, dir) = (Database::new().await, tempfile::tempdir().expect("made"));
    let dir = dir.path().to_str().expect("UTF-8");
    for name in ["order", "user", "shipments"] {
        Process::run(&database, &["projections", "new", name, "--projections", dir], &[]);
    }
    Process::run(&database, &["projections", "check", "--projections", dir], &[]);
    let annals = Process::serve(&database, &[], &[("projections_dir", dir)]);
    Process::run(
        &database,
        &["command", "order.create", "--json", support::ORDER],
        &[("projections_dir", dir)],
    );
    let client = reqwest::Client::new();
    for name in ["order", "user", "shipments"] {
        let rows = || async {
            let rows = client.get(format!("{}/api/read-models/{name}", annals.url));
            let rows = rows.bearer_auth("dev-consumer").send().await.expect("answered");
            rows.json::<Value>().await.expect("JSON")["items"].as_array().map_or(0, Vec::len)
        };
        until(&format!("{name} has its row"), || async { rows().await == 1 }).await;
    }
}

#[test]
fn every_fault_of_every_folder_is_told() {
    let dir = tempfile::tempdir().expect("made");
    let projections = ["--projections", dir.path().to_str().expect("UTF-8")];
    let run = |arguments: &[&str]| {
        let mut annals = Command::new(env!("CARGO_BIN_EXE_annals"));
        // Without a server.
        annals.env_remove("ANNALS_DATABASE_URL").env_remove("ANNALS_KAFKA_BROKERS");
        annals.arg("projections").args(arguments).args(projections).output().expect("it ends")
    };
    for name in ["parcels", "shipments", "whole"] {
        assert!(run(&["new", name]).status.success());
    }
    let spoil = |file: &str, text: &str| fs::write(dir.path().join(file), text).expect("written");
    spoil("parcels/on/order.created.sql", "insert into parcels select random(), now() from events");
    spoil("shipments/on/order.confirmed.sql", "select 1");
    let checked = run(&["check"]);
    assert_eq!(checked.status.code(), Some(1));
    let told = String::from_utf8(checked.stdout).expect("UTF-8");
    for fault in [
        "`random` depends on chance",
        "`now` depends on the clock",
        "shipments/on/order.confirmed.sql",
        "whole: ok",
    ] {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    assert!(String::from_utf8_lossy(&checked.stderr).contains("2 of 3 folders have faults"));
    let one = run(&["check", "whole", "--json"]);
    assert!(one.status.success());
    let one: Value = serde_json::from_slice(&one.stdout).expect("JSON");
    assert_eq!(one, json!([{"name": "whole", "faults": []}]));
}
