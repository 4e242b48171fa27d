//! A Kafka of a test's own, which it may stop.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use tokio::task::spawn_blocking;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");

/// Dropped, it is gone with its data.
pub(crate) struct Broker {
    _parent: TempDir,
    folder: PathBuf,
}

impl Drop for Broker {
    fn drop(&mut self) {
        run("destroy", &self.folder);
    }
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("services");
        let broker = Self { _parent: parent, folder };
        broker.up().await;
        broker
    }

    pub(crate) fn address(&self) -> String {
        let env = std::fs::read_to_string(self.folder.join("env")).expect("written by the script");
        let brokers = env.lines().find_map(|line| line.strip_prefix("ANNALS_KAFKA_BROKERS="));
        brokers.expect("the script names the broker").to_owned()
    }

    pub(crate) async fn up(&self) {
        self.services("up").await;
    }

    pub(crate) async fn down(&self) {
        self.services("down").await;
    }

    /// Puts another cluster in its place, at the same address.
    pub(crate) async fn replace(&self) {
        self.down().await;
        std::fs::remove_dir_all(self.folder.join("kafka")).expect("its data");
        std::fs::remove_file(self.folder.join("kafka.cluster-id")).expect("its name");
        self.up().await;
    }

    async fn services(&self, command: &'static str) {
        let folder = self.folder.clone();
        spawn_blocking(move || run(command, &folder)).await.expect("joined");
    }
}

fn run(command: &str, folder: &Path) {
    let status = Command::new(SCRIPT)
        .arg(command)
        .arg(folder)
        .arg("kafka")
        .env("ANNALS_SERVICES", "local")
        .env_remove("ANNALS_KAFKA_BROKERS")
        .status()
        .expect("the script runs");
    assert!(status.success(), "services {command}: {status}");
}
