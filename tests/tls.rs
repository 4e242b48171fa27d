//! The program on a Postgres and a Kafka of its own that speak TLS alone to it.

mod support;

use reqwest::{Client, StatusCode};
use support::{
    Database,
    authority::{Authority, Identity},
    connect,
    process::Process,
    server::{Answer, order},
    stack::Stack,
    until,
};

const PASSWORD: &str = "postgres-sesame-4711";
/// Who may come by TLS alone; the server's own user, who sets it up, comes as it likes.
const WHO_MAY_CONNECT: &str = "hostssl all program 127.0.0.1/32 scram-sha-256\n\
                               host all annals 127.0.0.1/32 scram-sha-256\n";

/// A Postgres to which the login `program` comes by TLS alone, once it has a certificate.
struct Postgres {
    // Dropped first: its server has to be there.
    database: Database,
    stack: Stack,
}

impl Postgres {
    async fn up() -> Self {
        let stack = tokio::task::spawn_blocking(|| Stack::of(Some("postgres"), &[])).await.expect("it is up");
        let database = Database::empty_at(stack.database_url.clone()).await;
        let login = format!("create role program login superuser password '{PASSWORD}'");
        connect(&stack.database_url).await.batch_execute(&login).await.expect("a login");
        Self { database, stack }
    }

    /// Gives it this certificate. The files are written by Postgres itself: it runs as another user where we are root.
    async fn identify(&self, identity: &Identity) {
        let client = connect(&self.stack.database_url).await;
        let folder: String = client.query_one("show data_directory", &[]).await.expect("a folder").get(0);
        for (name, text) in [
            ("server.crt", identity.certificate.as_str()),
            ("server.key", &identity.key),
            ("pg_hba.conf", WHO_MAY_CONNECT),
        ] {
            let lines = format!("select unnest(string_to_array($${text}$$, chr(10)))");
            let write = format!("$$umask 077 && cat >'{folder}/{name}'$$");
            client.batch_execute(&format!("copy ({lines}) to program {write}")).await.expect("a file");
        }
        client.batch_execute("alter system set ssl = on").await.expect("TLS is on");
        client.batch_execute("select pg_reload_conf()").await.expect("it reads its settings again");
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

    postgres.identify(&ours.sign("localhost")).await;
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

    postgres.identify(&ours.own()).await;
    postgres.until_reached(&with("verify-ca", &ours), "an authority's own does not serve").await;
}
