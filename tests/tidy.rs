//! Keeps the code as ARCHITECTURE.md says: what each module may use, how long things get, where SQL stands.
//!
//! Reads the sources as text: crude, quick, and enough to refuse a change with one line.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Longest file and function, in lines.
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// What a module (by the beginning of its path under `src/`) never uses, and why.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    (
        "domain/",
        &[
            "tokio",
            "postgres",
            "rdkafka",
            "crate::log",
            "crate::relay",
            "crate::kafka",
            "crate::projector",
            "chrono::Utc",
            "SystemTime",
            "rand::",
            "Uuid::now",
            "Uuid::new",
        ],
        "a domain is pure: no SQL, no Kafka, no clock, no randomness",
    ),
    (
        "aggregate",
        &["tokio", "postgres", "rdkafka", "poem", "crate::log", "crate::domain"],
        "aggregates know nothing around them",
    ),
    (
        "command",
        &["crate::domain", "crate::api", "poem"],
        "the pipeline knows no concrete domain and no HTTP",
    ),
    (
        "log",
        &["crate::domain", "crate::command", "crate::kafka", "crate::relay", "crate::api", "rdkafka", "poem"],
        "the log sees stream types by name and data as JSON",
    ),
    (
        "relay",
        &["crate::domain", "crate::projector", "crate::command", "crate::api", "poem"],
        "the relay knows no domain and no projection",
    ),
    (
        "projector",
        &["crate::api", "crate::command", "crate::domain", "Appender", "poem"],
        "projectors read the log and know no HTTP",
    ),
    (
        "rebuild",
        &["crate::api", "crate::command", "crate::domain", "Appender", "poem"],
        "rebuilds read the log and know no HTTP",
    ),
    ("json", &["crate::"], "the bottom"),
    (
        "postgres",
        &["crate::log", "crate::domain", "crate::command", "crate::api"],
        "connections know no tables",
    ),
];

/// Only these may use `rdkafka`, `anyhow`, the environment.
const RESERVED: &[(&str, &[&str])] = &[
    (
        "rdkafka",
        &[
            "kafka",
            "relay/",
            "relay.rs",
            "projector/kafka_source",
            "projector/worker",
            "command/topic",
            "bench/",
        ],
    ),
    ("anyhow", &["main.rs", "cli", "serve", "bench"]),
    ("std::env", &["config/", "bench/"]),
];

struct Source {
    /// Relative to `src/`.
    path: String,
    lines: Vec<String>,
}

impl Source {
    /// The lines before the unit tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.lines.iter().take_while(|line| !line.starts_with("#[cfg(test)]"));
        (1..).zip(code.map(String::as_str)).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.ends_with("/testing.rs")
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut sources = Vec::new();
    walk(&root, &mut |path| {
        let text = fs::read_to_string(path).expect("sources are text");
        let path = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
        sources.push(Source { path, lines: text.lines().map(str::to_owned).collect() });
    });
    assert!(!sources.is_empty());
    sources
}

fn walk(folder: &Path, each: &mut impl FnMut(&Path)) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, each);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            each(&path);
        }
    }
}

fn check(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn modules_use_only_what_they_may() {
    let mut faults = Vec::new();
    for source in sources("src") {
        for (module, forbidden, reason) in FORBIDDEN {
            let is_api = source.path.starts_with("domain/")
                && (source.path.ends_with("/api.rs") || source.path.contains("/api/"));
            if !source.path.starts_with(module) || is_api || source.is_test() {
                continue;
            }
            for (line, text) in source.code() {
                if let Some(name) = forbidden.iter().find(|name| text.contains(**name)) {
                    faults.push(format!("src/{}:{line}: `{name}`: {reason}", source.path));
                }
            }
        }
        for (name, allowed) in RESERVED {
            if allowed.iter().any(|allowed| source.path.starts_with(allowed)) || source.is_test() {
                continue;
            }
            for (line, _) in source.code().filter(|(_, text)| text.contains(&format!("{name}::"))) {
                faults.push(format!("src/{}:{line}: `{name}` is for {allowed:?} alone", source.path));
            }
        }
    }
    check(faults);
}

#[test]
fn files_and_functions_are_short() {
    let mut faults = Vec::new();
    for folder in ["src", "tests"] {
        for source in sources(folder) {
            if source.lines.len() > FILE_LINES_MAX {
                faults.push(format!(
                    "{folder}/{}: {} lines, at most {FILE_LINES_MAX}",
                    source.path,
                    source.lines.len()
                ));
            }
            for (line, length) in functions(&source) {
                if length > FUNCTION_LINES_MAX {
                    faults.push(format!(
                        "{folder}/{}:{line}: a function of {length} lines, at most {FUNCTION_LINES_MAX}",
                        source.path
                    ));
                }
            }
        }
    }
    check(faults);
}

/// First line and length of each function: from its `fn` to the closing brace of the same indentation.
fn functions(source: &Source) -> Vec<(usize, usize)> {
    let mut functions = Vec::new();
    for (index, line) in source.lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let words: Vec<_> = code.split_whitespace().take_while(|word| *word != "=").collect();
        let is_function = words.iter().take(5).any(|word| *word == "fn") && !code.starts_with("//");
        let signature_end =
            source.lines[index..].iter().find(|line| line.ends_with('{') || line.ends_with(';'));
        if is_function && !line.ends_with('}') && signature_end.is_some_and(|line| line.ends_with('{')) {
            let end = format!("{}}}", " ".repeat(indent));
            if let Some(length) = source.lines[index..].iter().position(|line| *line == end) {
                functions.push((index + 1, length + 1));
            }
        }
    }
    functions
}

#[test]
fn nothing_is_left_unfinished_or_switched_off() {
    let mut faults = Vec::new();
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[", "ignore"),
        concat!("FIX", "ME"),
    ];
    for folder in ["src", "tests"] {
        for source in sources(folder) {
            for (line, text) in (1..).zip(&source.lines) {
                if let Some(word) = words.iter().find(|word| text.contains(**word)) {
                    faults.push(format!("{folder}/{}:{line}: `{word}`", source.path));
                }
            }
        }
    }
    check(faults);
}

#[test]
fn sql_stands_in_sql_files() {
    let mut faults = Vec::new();
    let beginnings = [
        "\"select ",
        "\"insert into ",
        "\"update ",
        "\"delete from ",
        "\"with ",
        "\"create table ",
        "\"truncate ",
    ];
    for source in sources("src") {
        // The scratch database's name cannot be a parameter; a folder's statement gets its `events` put in front.
        if ["bench/scratch.rs", "projector/statement.rs"].contains(&source.path.as_str()) {
            continue;
        }
        for (line, text) in source.code() {
            let text = text.to_lowercase();
            if beginnings.iter().any(|beginning| text.contains(beginning)) {
                faults.push(format!("src/{}:{line}: SQL in a string: move it to a .sql file", source.path));
            }
        }
    }
    check(faults);
}

#[test]
fn every_module_says_what_it_is_for() {
    let faults = sources("src")
        .into_iter()
        .filter(|source| {
            !source.is_test() && !source.lines.first().is_some_and(|line| line.starts_with("//! "))
        })
        .map(|source| format!("src/{}: no `//!` at its head", source.path))
        .collect();
    check(faults);
}

#[test]
fn every_sql_file_begins_with_a_comment() {
    let mut faults = Vec::new();
    for folder in ["src", "schema", "projections"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut folders = vec![root];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "sql") {
                    let text = fs::read_to_string(&path).expect("SQL is text");
                    if !text.starts_with("-- ") && folder.starts_with("src") {
                        faults.push(format!("{}: no comment at its head", path.display()));
                    }
                }
            }
        }
    }
    check(faults);
}

#[test]
fn each_migration_has_a_number_of_its_own() {
    for folder in ["schema/log", "schema/read"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = fs::read_dir(root).expect("a folder");
        let names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        let mut numbers: Vec<_> = names.iter().filter_map(|name| name.split_once("__")).collect();
        numbers.sort();
        let twice: Vec<_> = numbers.windows(2).filter(|pair| pair[0].0 == pair[1].0).collect();
        assert!(twice.is_empty(), "{folder}: {twice:?}");
    }
}

#[test]
fn every_metric_is_described_and_documented() {
    let page = include_str!("../docs/operations.md");
    let (mut described, mut used) = (BTreeSet::new(), BTreeSet::new());
    for source in sources("src") {
        let text = source.lines.join("\n");
        for (place, _) in text.match_indices("\"annals_") {
            let name = text[place + 1..].split('"').next().expect("a name");
            let call = text[..place]
                .trim_end()
                .trim_end_matches('(')
                .rsplit(|c: char| c.is_whitespace() || c == ':');
            match call.into_iter().next() {
                Some("describe_counter!" | "describe_gauge!" | "describe_histogram!") => {
                    described.insert(name.to_owned())
                }
                Some("counter!" | "gauge!" | "histogram!") => used.insert(name.to_owned()),
                _ => false,
            };
        }
    }
    assert!(used.len() > 20, "{used:?}");
    let faults =
        used.iter().filter(|name| !described.contains(*name) || !page.contains(&format!("`{name}`")));
    check(
        faults
            .map(|name| format!("{name}: neither described in the code nor in docs/operations.md"))
            .collect(),
    );
}
