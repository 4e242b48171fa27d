//! One SQL statement out of a folder's file, and the relation `events` put in front of it.
//!
//! Works on tokens, so comments, strings and quoted names never mislead it. Whether the statement is right is for
//! [`super::check`] and for the database to say.

use sqlparser::{
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer},
};

/// What the name `events` stands for; see the file.
const EVENTS: &str = include_str!("events.sql");
/// The relation that statements of `on/` read.
pub(super) const EVENTS_NAME: &str = "events";

/// Why a file does not hold one statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Token(String),
    #[error("it holds no statement")]
    Empty,
    #[error("it holds more than one statement")]
    Several,
}

/// The text of exactly one statement, without a semicolon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    text: String,
    /// Where the common table expressions begin, if it begins with WITH; else where the statement does.
    body: usize,
    with: With,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    None,
    Plain,
    Recursive,
}

impl Statement {
    pub(super) fn parse(sql: &str) -> Result<Self, Error> {
        let dialect = PostgreSqlDialect {};
        let tokens = Tokenizer::new(&dialect, sql)
            .tokenize_with_location()
            .map_err(|error| Error::Token(error.to_string()))?;
        let tokens: Vec<&TokenWithSpan> =
            tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
        let end = tokens.iter().position(|token| token.token == Token::SemiColon).unwrap_or(tokens.len());
        if tokens[end..].iter().any(|token| token.token != Token::SemiColon) {
            return Err(Error::Several);
        }
        let [first, rest @ ..] = &tokens[..end] else {
            return Err(Error::Empty);
        };
        let last = rest.last().unwrap_or(first);
        let (with, body) = match (keyword(first), rest.first().map(|second| keyword(second))) {
            (Keyword::WITH, Some(Keyword::RECURSIVE)) => (With::Recursive, rest[0].span.end),
            (Keyword::WITH, _) => (With::Plain, first.span.end),
            _ => (With::None, first.span.start),
        };
        Ok(Self { text: sql[..offset(sql, last.span.end)].to_owned(), body: offset(sql, body), with })
    }

    /// The statement as it stands in its file.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The statement with `events` as its first common table expression. `label` tells sessions the same statement of
    /// two generations apart, which mean different tables.
    pub(super) fn over_events(&self, label: &str) -> String {
        let rest = &self.text[self.body..];
        let (with, separator) = match self.with {
            With::None => ("with", "\n"),
            With::Plain => ("with", ","),
            With::Recursive => ("with recursive", ","),
        };
        format!("/* {label} */ {with} {EVENTS_NAME} as (\n{EVENTS}){separator}{rest}")
    }
}

fn keyword(token: &TokenWithSpan) -> Keyword {
    match &token.token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// The byte at which a location (line and column from 1, columns counted in characters) stands.
fn offset(sql: &str, location: Location) -> usize {
    let line_start: usize =
        sql.split_inclusive('\n').take(location.line.saturating_sub(1) as usize).map(str::len).sum();
    let column = location.column.saturating_sub(1) as usize;
    sql[line_start..].char_indices().nth(column).map_or(sql.len(), |(index, _)| line_start + index)
}

#[cfg(test)]
mod tests {
    use super::{Error, Statement};

    fn spliced(sql: &str) -> String {
        let over = Statement::parse(sql).expect("a statement").over_events("g");
        over.replace(super::EVENTS, "E")
    }

    #[test]
    fn events_come_before_a_plain_statement() {
        assert_eq!(
            spliced("-- with é\nupdate t set a = ';' from events;\n-- end\n"),
            "/* g */ with events as (\nE)\nupdate t set a = ';' from events"
        );
    }

    #[test]
    fn events_join_the_statement_s_own_expressions() {
        assert_eq!(
            spliced("/* ä; */ WITH a as (select 1) select * from a"),
            "/* g */ with events as (\nE), a as (select 1) select * from a"
        );
        assert_eq!(
            spliced("with recursive a as (select 1) select * from a ; ;"),
            "/* g */ with recursive events as (\nE), a as (select 1) select * from a"
        );
    }

    #[test]
    fn a_quoted_with_is_a_name() {
        assert_eq!(spliced("\"with\""), "/* g */ with events as (\nE)\n\"with\"");
    }

    #[test]
    fn exactly_one_statement() {
        assert_eq!(Statement::parse("-- nothing\n"), Err(Error::Empty));
        assert_eq!(Statement::parse(" ; "), Err(Error::Empty));
        assert_eq!(Statement::parse("select 1; select 2"), Err(Error::Several));
        assert!(matches!(Statement::parse("select 'open"), Err(Error::Token(_))));
    }
}
