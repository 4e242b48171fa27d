//! Where settings come from, and the collecting of every fault in them.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use secrecy::SecretString;

/// The file read when none is named and it is there.
const DEFAULT_FILE: &str = "annals.toml";
/// What every variable's name begins with.
const PREFIX: &str = "ANNALS_";
/// Variables with that prefix which scripts/ and docker-compose.yml read.
const OF_SCRIPTS: [&str; 8] = [
    "cache",
    "install",
    "kafka_format",
    "kafka_jvm",
    "kafka_properties",
    "port",
    "services",
    "services_fast",
];

/// What decided a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Default,
    File,
    Environment,
    Flag,
}

/// A setting in force, fit to be printed.
#[derive(Debug, Clone)]
pub struct Shown {
    pub name: &'static str,
    /// `None`: not set. Secrets read `(hidden)`.
    pub value: Option<String>,
    pub origin: Origin,
    /// The values it takes, where they are bounded: `1 to 100`, or names separated by commas.
    pub takes: String,
}

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub name: String,
    pub detail: String,
}

/// Everything wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s):", self.0.len())?;
        for Fault { name, detail } in &self.0 {
            write!(f, "\n  {name} ({PREFIX}{}): {detail}", name.to_uppercase())?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The raw settings, by name, and the faults met while they are taken.
#[derive(Debug, Default)]
pub struct Sources {
    values: BTreeMap<String, (String, Origin)>,
    shown: Vec<Shown>,
    faults: Vec<Fault>,
}

/// What is wrong with a text, and where; never the line itself, which may hold a secret.
fn told(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("line {}: {}", before.matches('\n').count() + 1, error.message()),
        None => error.message().to_owned(),
    }
}

impl Sources {
    /// Reads the file, the environment and the flags, later ones winning.
    pub fn read(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Result<Self, Faults> {
        let mut sources = Self::default();
        sources.read_file(file)?;
        // What is not UTF-8 is none of ours.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((
                name.into_string().ok()?,
                value.into_string().ok().filter(|value| !value.trim().is_empty())?,
            ))
        });
        for (name, value) in variables {
            if let Some(name) = name.strip_prefix(PREFIX) {
                sources.values.insert(name.to_lowercase(), (value, Origin::Environment));
            }
        }
        sources.extend(flags.iter().map(|(name, value)| (name.as_str(), value.clone(), Origin::Flag)));
        Ok(sources)
    }

    /// Settings given directly, as a test does.
    pub fn of<'a>(settings: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let mut sources = Self::default();
        sources.extend(settings.into_iter().map(|(name, value)| (name, value, Origin::Flag)));
        sources
    }

    fn extend<'a>(&mut self, settings: impl Iterator<Item = (&'a str, String, Origin)>) {
        self.values.extend(settings.map(|(name, value, origin)| (name.to_owned(), (value, origin))));
    }

    fn read_file(&mut self, file: Option<PathBuf>) -> Result<(), Faults> {
        let fault = |detail| Faults(vec![Fault { name: "config".into(), detail }]);
        let path = match file {
            Some(path) => path,
            None if PathBuf::from(DEFAULT_FILE).exists() => PathBuf::from(DEFAULT_FILE),
            None => return Ok(()),
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| fault(format!("{} cannot be read: {error}", path.display())))?;
        let table: toml::Table = text
            .parse()
            .map_err(|error| fault(format!("{} is not TOML: {}", path.display(), told(&error, &text))))?;
        for (name, value) in table {
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Array(items) => items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                    .collect::<Vec<_>>()
                    .join(","),
                toml::Value::Table(_) => {
                    self.fault(&name, "is a table; settings are flat names".into());
                    continue;
                }
                other => other.to_string(),
            };
            self.values.insert(name, (value, Origin::File));
        }
        Ok(())
    }

    /// Notes a fault of the setting `name`.
    pub fn fault(&mut self, name: &str, detail: String) {
        self.faults.push(Fault { name: name.to_owned(), detail });
    }

    fn take(&mut self, name: &'static str) -> Option<(String, Origin)> {
        self.values.remove(name).filter(|(value, _)| !value.trim().is_empty())
    }

    fn show(&mut self, name: &'static str, value: Option<String>, origin: Origin) {
        self.shown.push(Shown { name, value, origin, takes: String::new() });
    }

    /// Notes what the setting taken last takes.
    fn bounded(&mut self, takes: String) {
        if let Some(shown) = self.shown.last_mut() {
            shown.takes = takes;
        }
    }

    /// A setting that may be absent.
    pub fn optional<T: FromStr + Display>(&mut self, name: &'static str) -> Option<T>
    where
        T::Err: Display,
    {
        let Some((text, origin)) = self.take(name) else {
            self.show(name, None, Origin::Default);
            return None;
        };
        let parsed =
            text.trim().parse::<T>().map_err(|error| self.fault(name, format!("`{text}`: {error}"))).ok();
        self.show(name, Some(text), origin);
        parsed
    }

    /// A setting with a default.
    pub fn value<T: FromStr + Display>(&mut self, name: &'static str, default: T) -> T
    where
        T::Err: Display,
    {
        let Some((text, origin)) = self.take(name) else {
            self.show(name, Some(default.to_string()), Origin::Default);
            return default;
        };
        let parsed = text.trim().parse::<T>();
        self.show(name, Some(text.clone()), origin);
        parsed.unwrap_or_else(|error| {
            self.fault(name, format!("`{text}`: {error}"));
            default
        })
    }

    /// A number with a default and a range.
    pub fn ranged<T>(&mut self, name: &'static str, default: T, range: RangeInclusive<T>) -> T
    where
        T: FromStr + Display + PartialOrd + Copy,
        T::Err: Display,
    {
        let value = self.value(name, default);
        let takes = format!("{} to {}", range.start(), range.end());
        if !range.contains(&value) {
            self.fault(name, format!("{value} is not within {takes}"));
        }
        self.bounded(takes);
        if range.contains(&value) { value } else { default }
    }

    pub fn seconds(&mut self, name: &'static str, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.ranged(name, default, range))
    }

    pub fn millis(&mut self, name: &'static str, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.ranged(name, default, range))
    }

    /// One of named values; the first is the default.
    pub fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&'static str, T)]) -> T {
        let (default, value) = choices[0];
        let text: String = self.value(name, default.to_owned());
        let names = choices.iter().map(|(choice, _)| *choice).collect::<Vec<_>>().join(", ");
        let chosen = choices.iter().find(|(choice, _)| *choice == text);
        if chosen.is_none() {
            self.fault(name, format!("`{text}` is none of {names}"));
        }
        self.bounded(names);
        chosen.map_or(value, |(_, value)| *value)
    }

    /// Values separated by commas; none by default.
    pub fn list(&mut self, name: &'static str) -> Vec<String> {
        let text: String = self.value(name, String::new());
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// A setting that is never printed.
    pub fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        let taken = self.take(name);
        let origin = taken.as_ref().map_or(Origin::Default, |(_, origin)| *origin);
        self.show(name, taken.as_ref().map(|_| "(hidden)".to_owned()), origin);
        taken.map(|(text, _)| SecretString::from(text))
    }

    /// The settings in force, unless anything is wrong, and the variables that are none. A name nobody took is wrong where it
    /// was meant for us alone: in the file or as a flag. In the environment it may be somebody else's.
    pub fn finish(mut self) -> Result<(Vec<Shown>, Vec<String>), Faults> {
        let mut unknown = Vec::new();
        for (name, (_, origin)) in std::mem::take(&mut self.values) {
            if origin != Origin::Environment {
                self.fault(&name, "there is no such setting".into());
            } else if !OF_SCRIPTS.contains(&name.as_str()) {
                unknown.push(format!("{PREFIX}{}", name.to_uppercase()));
            }
        }
        if self.faults.is_empty() { Ok((self.shown, unknown)) } else { Err(Faults(self.faults)) }
    }
}
