//! The program as a process of its own, as an operator runs it.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use super::{DEADLINE, Database};

/// A running `annals serve`; killed when dropped.
pub struct Process {
    pub url: String,
    child: Child,
}

impl Process {
    /// Starts it on a free port and waits until it listens. It runs with development keys.
    pub fn serve(database: &Database, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::listening(start(database, &[&["serve"], arguments].concat(), settings))
    }

    /// The same, with its log in a file.
    pub fn serve_logging(database: &Database, settings: &[(&str, &str)], log: File) -> Self {
        let mut serve = command(database, &["serve"], settings);
        Self::listening(serve.stderr(log).spawn().expect("annals starts"))
    }

    fn listening(mut child: Child) -> Self {
        let stdout = child.stdout.take().expect("stdout is piped");
        let (said, listening) = mpsc::channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = said.send(line);
            // The pipe is kept open and empty.
            let _ = stdout.read_to_end(&mut Vec::new());
        });
        let line = listening.recv_timeout(DEADLINE).unwrap_or_default();
        let url = line.trim().strip_prefix("annals listening on ").unwrap_or_else(|| {
            let _ = child.kill();
            panic!("it did not start: {line:?}")
        });
        Self { url: url.to_owned(), child }
    }

    /// Starts a worker, which has no address.
    pub fn worker(database: &Database, settings: &[(&str, &str)]) -> Self {
        Self::silent(database, &["worker"], settings)
    }

    /// Starts a relay alone, which has no address either.
    pub fn relay(database: &Database, settings: &[(&str, &str)]) -> Self {
        Self::silent(database, &["serve", "--role", "relay"], settings)
    }

    fn silent(database: &Database, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        Self { url: String::new(), child: start(database, arguments, settings) }
    }

    /// Runs a command to its end and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(database: &Database, arguments: &[&str], settings: &[(&str, &str)]) -> String {
        let output = start(database, arguments, settings).wait_with_output().expect("it ends");
        assert!(output.status.success(), "annals {arguments:?}: {}", output.status);
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs a command that fails, and returns its exit code and what it printed on stderr.
    pub fn fail(database: &Database, arguments: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String) {
        let output = Self::output(database, arguments, settings);
        assert!(output.stdout.is_empty(), "stdout is for results");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    }

    /// Runs a command to its end, however that is, and returns all that it printed.
    pub fn output(database: &Database, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        command(database, arguments, settings).stderr(Stdio::piped()).output().expect("it ends")
    }

    /// SIGKILL: it gets no chance to tidy up.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Sends it a signal by name, such as TERM, STOP or CONT.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// The most memory that it had resident so far, in bytes.
    #[cfg(target_os = "linux")]
    pub fn memory_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }

    /// Waits for its end and returns its exit code.
    pub async fn end(&mut self) -> Option<i32> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            assert!(tokio::time::Instant::now() < deadline, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(database: &Database, arguments: &[&str], settings: &[(&str, &str)]) -> Child {
    command(database, arguments, settings).spawn().expect("annals starts")
}

fn command(database: &Database, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
    command
        .args(arguments)
        .env("ANNALS_DATABASE_URL", &database.url)
        .env("ANNALS_LISTEN", "127.0.0.1:0")
        .env("ANNALS_AUTH", "dev")
        .env("ANNALS_LOG", "warn")
        .env_remove("ANNALS_KAFKA_BROKERS")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for (name, value) in settings {
        command.env(format!("ANNALS_{}", name.to_uppercase()), value);
    }
    command
}
