//! Servers of one test's own, which it may stop and kill.

use std::{collections::HashMap, path::Path, process::Command};

use tempfile::TempDir;

/// A Postgres that keeps what it committed and a Kafka, or one of them, by `scripts/services`; gone when dropped.
pub struct Stack {
    dir: TempDir,
    settings: Vec<(&'static str, String)>,
    pub database_url: String,
    pub kafka_brokers: String,
}

impl Stack {
    pub fn up() -> Self {
        Self::of(None, &[])
    }

    /// One server, or both, with more of the script's settings.
    pub fn of(server: Option<&str>, settings: &[(&'static str, String)]) -> Self {
        let dir = tempfile::Builder::new().prefix("annals-stack").tempdir().expect("a folder");
        let mut stack = Self {
            dir,
            settings: settings.into(),
            database_url: String::new(),
            kafka_brokers: String::new(),
        };
        stack.services("up", server);
        let env = std::fs::read_to_string(stack.dir.path().join("env")).expect("the servers' addresses");
        let env: HashMap<_, _> = env.lines().filter_map(|line| line.split_once('=')).collect();
        let address = |name| env.get(name).map_or("", |address| address.trim_matches(['\'', '"'])).to_owned();
        stack.database_url = address("ANNALS_DATABASE_URL");
        stack.kafka_brokers = address("ANNALS_KAFKA_BROKERS");
        stack
    }

    /// Starts a server again and waits until it answers.
    pub fn start(&self, server: &str) {
        self.services("up", Some(server));
    }

    /// SIGKILL.
    pub fn kill(&self, server: &str) {
        let status = self.services("status", Some(server));
        let (_, pid) = status.split_once("pid ").expect("it runs");
        let pid: String = pid.chars().take_while(char::is_ascii_digit).collect();
        assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill runs").success());
    }

    fn services(&self, command: &str, server: Option<&str>) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services");
        let output = Command::new(script)
            .arg(command)
            .arg(self.dir.path())
            .args(server)
            .env("ANNALS_SERVICES", "local")
            .env_remove("ANNALS_SERVICES_FAST")
            .env_remove("ANNALS_DATABASE_URL")
            .env_remove("ANNALS_KAFKA_BROKERS")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("scripts/services runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/services {command}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.services("destroy", None);
    }
}
