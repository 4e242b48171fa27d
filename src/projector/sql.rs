//! SQL text with names in it: the tables and columns of projections' folders.
//!
//! Templates stand in `.sql` files with `{{placeholders}}`. What is put into them are names, quoted here, and the statements of
//! folders, which were checked when the folder was loaded; values never come in: they are parameters.

use std::fmt;

/// A quoted identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identifier(String);

impl Identifier {
    /// Quotes a name (PostgreSQL documentation, §4.1.1): any character but NUL, which no catalog name holds.
    pub(crate) fn new(name: &str) -> Self {
        Self(format!("\"{}\"", name.replace('"', "\"\"")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts [`Identifier`]s, our own words or a folder's checked statement into a template's placeholders: never what a caller sent.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut sql = template.to_owned();
    for (name, value) in values {
        sql = sql.replace(&format!("{{{{{name}}}}}"), value);
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::{Identifier, fill};

    #[test]
    fn quotes_and_fills() {
        let name = Identifier::new("a\"b");
        assert_eq!(
            fill("select {{x}}.{{y}} from {{x}}", &[("x", name.as_str()), ("y", "1")]),
            "select \"a\"\"b\".1 from \"a\"\"b\""
        );
    }
}
