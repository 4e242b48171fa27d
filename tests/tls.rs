//! The program on a Postgres and a Kafka of its own that speak TLS alone to it.

mod support;

use std::net::TcpListener;

use reqwest::{Client, StatusCode};
use serde_json::Value;
use support::{
    Database,
    authority::{Authority, Identity},
    connect,
    process::Process,
    server::{Answer, order},
    stack::Stack,
    topic_prefix, until,
};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

const PASSWORD: &str = "postgres-sesame-4711";
/// Who may come by TLS alone, one of them by a certificate; the server's own user, who sets it up, comes as it likes.
const WHO_MAY_CONNECT: &str = "hostssl all program 127.0.0.1/32 scram-sha-256\n\
                               hostssl all machine 127.0.0.1/32 cert\n\
                               host all annals 127.0.0.1/32 scram-sha-256\n";

/// A Postgres to which the login `program` comes by TLS alone, once it has a certificate.
struct Postgres {
    // Dropped first: its server has to be there.
    database: Database,
    stack: Stack,
}

impl Postgres {
    async fn up() -> Self {
        let stack = spawn_blocking(|| Stack::of(Some("postgres"), &[])).await.expect("it is up");
        let database = Database::empty_at(stack.database_url.clone()).await;
        let logins = format!(
            "create role program login superuser password '{PASSWORD}'; create role machine login superuser"
        );
        connect(&stack.database_url).await.batch_execute(&logins).await.expect("the logins");
        Self { database, stack }
    }

    /// Gives it this certificate, and an authority to look at its clients' with. The files are written by Postgres itself: it runs as another user where we are root.
    async fn identify(&self, identity: &Identity, authority: &Authority) {
        let client = connect(&self.stack.database_url).await;
        let folder: String = client.query_one("show data_directory", &[]).await.expect("a folder").get(0);
        for (name, text) in [
            ("server.crt", identity.certificate.as_str()),
            ("server.key", &identity.key),
            ("ca.crt", &authority.certificate()),
            ("pg_hba.conf", WHO_MAY_CONNECT),
        ] {
            let lines = format!("select unnest(string_to_array($${text}$$, chr(10)))");
            let write = format!("$$umask 077 && cat >'{folder}/{name}'$$");
            client.batch_execute(&format!("copy ({lines}) to program {write}")).await.expect("a file");
        }
        for command in [
            "alter system set ssl_ca_file = 'ca.crt'",
            "alter system set ssl = on",
            "select pg_reload_conf()",
        ] {
            client.batch_execute(command).await.expect("it takes a setting");
        }
    }

    /// Waits until a session gets this far: the server reads its settings some time after it is told to.
    async fn until_reached(&self, query: &str, sign: &str) {
        until(sign, || async { self.refused("localhost", query).contains(sign) }).await;
    }

    /// The program's URL, by this name of the server.
    fn url(&self, host: &str, query: &str) -> String {
        let (_, place) = self.database.url.rsplit_once('@').expect("a place");
        format!("postgres://program:{PASSWORD}@{}?{query}", place.replace("127.0.0.1", host))
    }

    /// What `annals keys list` says on stderr; it needs a session and a schema.
    fn refused(&self, host: &str, query: &str) -> String {
        let url = self.url(host, query);
        let settings = [("database_url", &*url), ("log", "debug")];
        let (code, said) = Process::fail(&self.database, &["keys", "list"], &settings);
        assert_eq!(code, Some(1), "{said}");
        assert!(!said.contains(PASSWORD), "{said}");
        said
    }
}

/// The login `machine` has no password.
fn a_certificate_takes_the_place_of_a_password(postgres: &Postgres, ours: &Authority, others: &Authority) {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = |query: &str| {
        let url =
            postgres.url("localhost", &format!("sslmode=verify-full&sslrootcert={}", ours.file().display()));
        format!("{}{query}", url.replace(&format!("program:{PASSWORD}"), "machine"))
    };
    let by = |identity: Identity, name: &str| {
        let [certificate, key] = ["crt", "key"].map(|end| folder.path().join(format!("{name}.{end}")));
        std::fs::write(&certificate, identity.certificate).expect("a file");
        std::fs::write(&key, identity.key).expect("a file");
        machine(&format!("&sslcert={}&sslkey={}", certificate.display(), key.display()))
    };
    let good = by(ours.sign("machine"), "machine");
    Process::run(&postgres.database, &["keys", "list"], &[("database_url", &good)]);
    for (url, sign) in [
        (machine(""), "requires a valid client certificate"),
        (by(ours.sign("somebody"), "somebody"), "certificate authentication failed"),
        // Postgres hangs up: its reason may or may not come through.
        (by(others.sign("machine"), "stranger"), "no connection to the database"),
    ] {
        let (_, said) = Process::fail(&postgres.database, &["keys", "list"], &[("database_url", &url)]);
        assert!(said.contains(sign), "{said}");
    }
}

/// Posts an order; where it is read.
async fn create_order(url: &str) -> String {
    let request = Client::new().post(format!("{url}/api/orders")).bearer_auth("dev-consumer");
    let created = Answer::of(request.json(&order())).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let id = created.json()["id"].as_str().expect("an id").to_owned();
    format!("{url}/api/read-models/orders/{id}")
}

async fn status(url: &str) -> StatusCode {
    Answer::of(Client::new().get(url).bearer_auth("dev-consumer")).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_by_tls_alone() {
    let postgres = Postgres::up().await;
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let with = |mode: &str, authority: &Authority| {
        format!("sslmode={mode}&sslrootcert={}", authority.file().display())
    };
    let said = postgres.refused("localhost", "sslmode=require");
    assert!(said.contains("server does not support TLS: turn TLS on"), "{said}");

    postgres.identify(&ours.sign("localhost"), &ours).await;
    postgres.until_reached("sslmode=require", "log.api_keys").await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let said = postgres.refused("localhost", &with(mode, &others));
        assert!(said.contains("UnknownIssuer: name the authority"), "{mode}: {said}");
    }
    let said = postgres.refused("127.0.0.1", &with("verify-full", &ours));
    assert!(said.contains("certificate not valid for name") && said.contains("subjectAltName"), "{said}");
    let said = postgres.refused("localhost", "sslmode=disable");
    assert!(said.contains("no pg_hba.conf entry") && said.contains("no encryption"), "{said}");

    for (host, query) in [
        ("localhost", "sslmode=require".to_owned()),
        ("127.0.0.1", with("verify-ca", &ours)),
        ("localhost", with("verify-full", &ours)),
    ] {
        let url = postgres.url(host, &query);
        Process::run(&postgres.database, &["migrate"], &[("database_url", &url)]);
        let annals = Process::serve(&postgres.database, &[], &[("database_url", &url)]);
        let order = create_order(&annals.url).await;
        until("the read model has it", || async { status(&order).await == StatusCode::OK }).await;
        let client = postgres.database.client().await;
        let sessions = include_str!("support/sessions.sql");
        let row = client.query_one(sessions, &[&"program"]).await.expect("sessions");
        let (all, encrypted): (i64, i64) = (row.get(0), row.get(1));
        assert!(all > 0 && all == encrypted, "{encrypted} of {all} sessions are encrypted");
    }

    a_certificate_takes_the_place_of_a_password(&postgres, &ours, &others);

    postgres.identify(&ours.own(), &ours).await;
    postgres.until_reached(&with("verify-ca", &ours), "an authority's own does not serve").await;
}

/// Who the program is to the brokers.
const SASL_PASSWORD: &str = "kafka-sesame-4712";

/// A broker with one door for clients, by TLS and SASL.
fn broker(identity: &Identity) -> (Stack, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let keys = dir.path().join("server.pem");
    std::fs::write(&keys, format!("{}{}", identity.key, identity.certificate)).expect("a file");
    let door =
        TcpListener::bind("127.0.0.1:0").and_then(|door| door.local_addr()).expect("a free port").port();
    let properties = include_str!("support/sasl_ssl.properties")
        .replace("@DOOR@", &door.to_string())
        .replace("@KEYS@", &keys.display().to_string())
        .replace("@PASSWORD@", SASL_PASSWORD);
    let file = dir.path().join("properties");
    std::fs::write(&file, properties).expect("a file");
    let user = format!("--add-scram SCRAM-SHA-512=[name=program,password={SASL_PASSWORD}]");
    let settings = [("ANNALS_KAFKA_PROPERTIES", file.display().to_string()), ("ANNALS_KAFKA_FORMAT", user)];
    (Stack::of(Some("kafka"), &settings), format!("localhost:{door}"))
}

/// What `/health/ready` says.
async fn health(url: &str) -> Value {
    Answer::of(Client::new().get(format!("{url}/health/ready"))).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_by_tls_and_sasl() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (ours_file, others_file) = (ours.file().display().to_string(), others.file().display().to_string());
    let identity = ours.sign("localhost");
    let (_stack, brokers) = spawn_blocking(move || broker(&identity)).await.expect("it is up");
    let database = Database::new().await;
    let prefix = topic_prefix();
    let with = |changes: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        let own = [
            ("kafka_brokers", &*brokers),
            ("topic_prefix", &prefix),
            ("kafka_security_protocol", "sasl_ssl"),
            ("kafka_ca_file", &ours_file),
            ("kafka_sasl_mechanism", "SCRAM-SHA-512"),
            ("kafka_sasl_username", "program"),
            ("kafka_sasl_password", SASL_PASSWORD),
            ("command_topic_principal", "topic"),
            ("log", "info,annals=debug"),
        ];
        own.iter().chain(changes).map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let mut orders = Vec::new();
    for (changes, sign) in [
        (vec![("kafka_sasl_password", "wrong-4713")], "Kafka refuses who we are"),
        (vec![("kafka_ca_file", others_file.as_str())], "no TLS with Kafka"),
    ] {
        let annals = Logged::serve(&database, &with(&changes));
        until(sign, || async {
            let health = health(&annals.process.url).await;
            let says = |name: &str| {
                let detail = &health["dependencies"][name]["detail"];
                detail.as_str().is_some_and(|detail| detail.contains(sign))
            };
            says("kafka") && says("command-topic") && says("projection:orders")
        })
        .await;
        orders.push(create_order(&annals.process.url).await);
        let reconcile = ["relay", "reconcile", "--dry-run"];
        let (_, said) = Process::fail(&database, &reconcile, &lent(&with(&changes)));
        assert!(said.contains(sign) && !said.contains(SASL_PASSWORD), "{said}");
        let log = annals.end().await;
        assert!(log.lines().any(|line| line.contains("ERROR") && line.contains(sign)), "{log}");
        assert!(!log.contains(SASL_PASSWORD) && !log.contains("wrong-4713"), "{log}");
    }
    for (mechanism, mode) in [("SCRAM-SHA-512", "exactly-once"), ("PLAIN", "low-latency")] {
        let annals =
            Logged::serve(&database, &with(&[("kafka_sasl_mechanism", mechanism), ("relay_mode", mode)]));
        orders.push(create_order(&annals.process.url).await);
        for order in &orders {
            let (_, path) = order.split_once("/api").expect("a path");
            let order = format!("{}/api{path}", annals.process.url);
            until("the read model has it", || async { status(&order).await == StatusCode::OK }).await;
        }
        until("all is up", || async { health(&annals.process.url).await["status"] == "up" }).await;
        let log = annals.end().await;
        assert!(!log.contains(SASL_PASSWORD), "{log}");
    }
}

fn lent<'a>(settings: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// A server and its log.
struct Logged {
    process: Process,
    log: NamedTempFile,
}

impl Logged {
    fn serve(database: &Database, settings: &[(&str, String)]) -> Self {
        let log = NamedTempFile::new().expect("a file");
        let process = Process::serve_logging(database, &lent(settings), log.reopen().expect("a file"));
        Self { process, log }
    }

    /// What it said until its end.
    async fn end(mut self) -> String {
        self.process.signal("TERM");
        assert_eq!(self.process.end().await, Some(0));
        std::fs::read_to_string(&self.log).expect("a log")
    }
}
