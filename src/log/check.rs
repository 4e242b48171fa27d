//! Checks before an append joins a batch, so that one bad datum does not fail the others: what Postgres would refuse,
//! and what would be small on the wire and huge when stored.

use super::{Accepted, Append};
use crate::aggregate::{Claim, UniqueValue};

/// Deepest nesting of arrays and objects in an event's data.
const DEPTH_MAX: usize = 64;
/// Longest number in an event's data, in digits as stored: `1e1000` has 1,001.
const NUMBER_DIGITS_MAX: usize = 1_000;
/// Longest value of a claim, in bytes (the index entry must fit a page).
const CLAIM_BYTES_MAX: usize = 512;
/// Largest request that is kept to be carried out later, in bytes as stored. Several are read at once.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Most events and claims of one append.
const EVENTS_MAX: usize = 1_000;

/// Why an append cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("`{0}` is not a name of lower-case letters, digits, '_', '-' and '.', up to 128")]
    Name(String),
    #[error("a text holds the character NUL, which Postgres cannot store")]
    Nul,
    #[error("a text holds half of a surrogate pair")]
    Surrogate,
    #[error("a number has more than {NUMBER_DIGITS_MAX} digits when written out")]
    Number,
    #[error("the data is nested deeper than {DEPTH_MAX}")]
    Depth,
    #[error("an event has {bytes} bytes, the limit is {max}")]
    EventSize { bytes: usize, max: usize },
    #[error("the value of `{scope}` has {bytes} bytes, the limit is {CLAIM_BYTES_MAX}")]
    ClaimSize { scope: &'static str, bytes: usize },
    #[error("an append has {0} events or claims, the limit is {EVENTS_MAX}")]
    Count(usize),
}

/// Whether the log can store this append.
pub fn check(append: &Append, event_bytes_max: usize) -> Result<(), Unfit> {
    check_name(&append.command_type)?;
    check_name(&append.stream.stream_type)?;
    check_text(&append.principal)?;
    check_text(&append.correlation_id)?;
    append.idempotency_key.as_deref().map_or(Ok(()), check_text)?;
    let count = append.events.len().max(append.claims.len());
    if count > EVENTS_MAX {
        return Err(Unfit::Count(count));
    }
    check_json(append.answer.as_str(), event_bytes_max)?;
    for event in &append.events {
        check_name(&event.event_type)?;
        check_json(event.data.as_str(), event_bytes_max)?;
        check_json(event.metadata.as_str(), event_bytes_max)?;
    }
    for Claim::Take(UniqueValue { scope, value, .. }) | Claim::Release(UniqueValue { scope, value, .. }) in
        &append.claims
    {
        check_text(value)?;
        if value.len() > CLAIM_BYTES_MAX {
            return Err(Unfit::ClaimSize { scope, bytes: value.len() });
        }
    }
    Ok(())
}

/// Whether a request that is kept until it is carried out can be stored, and read again beside others.
pub(super) fn check_kept(accepted: &Accepted) -> Result<(), Unfit> {
    check_text(&accepted.principal)?;
    check_text(&accepted.correlation_id)?;
    accepted.idempotency_key.as_deref().map_or(Ok(()), check_text)?;
    check_json(accepted.request.as_str(), KEPT_BYTES_MAX)
}

fn check_name(name: &str) -> Result<(), Unfit> {
    let fits = (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte));
    if fits { Ok(()) } else { Err(Unfit::Name(name.chars().take(128).collect())) }
}

fn check_text(text: &str) -> Result<(), Unfit> {
    if text.contains('\0') { Err(Unfit::Nul) } else { Ok(()) }
}

/// One pass over valid JSON text. The size counted is the one stored: jsonb writes numbers out, so `1e500` has 501.
fn check_json(text: &str, bytes_max: usize) -> Result<(), Unfit> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut stored) = (0, 0_usize, bytes.len());
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = check_string(bytes, at + 1)?,
            b'-' | b'0'..=b'9' => {
                let end = at
                    + bytes[at..]
                        .iter()
                        .take_while(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
                        .count();
                stored += check_number(&text[at..end])?;
                at = end;
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            _ => at += 1,
        }
        if depth > DEPTH_MAX {
            return Err(Unfit::Depth);
        }
    }
    if stored > bytes_max {
        return Err(Unfit::EventSize { bytes: stored, max: bytes_max });
    }
    Ok(())
}

/// Returns where the string that begins at `at` is over.
fn check_string(bytes: &[u8], mut at: usize) -> Result<usize, Unfit> {
    loop {
        match bytes.get(at) {
            None | Some(b'"') => return Ok(at + 1),
            Some(b'\\') if bytes.get(at + 1) == Some(&b'u') => {
                let unit = escape(bytes, at);
                at += 6;
                match unit {
                    0 => return Err(Unfit::Nul),
                    0xD800..=0xDBFF if matches!(escape(bytes, at), 0xDC00..=0xDFFF) => at += 6,
                    0xD800..=0xDFFF => return Err(Unfit::Surrogate),
                    _ => {}
                }
            }
            Some(b'\\') => at += 2,
            Some(0) => return Err(Unfit::Nul),
            Some(_) => at += 1,
        }
    }
}

/// The UTF-16 unit of the escape (`\u` and four digits) at `at`; 1 where there is none.
fn escape(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 6)
        .filter(|escape| escape.starts_with(b"\\u"))
        .and_then(|escape| std::str::from_utf8(&escape[2..]).ok())
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .unwrap_or(1)
}

/// Returns how many bytes longer the number becomes when it is written out.
fn check_number(number: &str) -> Result<usize, Unfit> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i64 = exponent.trim_start_matches('+').parse().map_err(|_| Unfit::Number)?;
    let extra = usize::try_from(exponent.unsigned_abs()).map_err(|_| Unfit::Number)?;
    if mantissa.len().saturating_add(extra) > NUMBER_DIGITS_MAX {
        return Err(Unfit::Number);
    }
    Ok(extra)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<(), Unfit> {
        check_json(text, 10_000)
    }

    #[test]
    fn text_that_postgres_stores_is_fit() {
        for text in
            [r#"{"a":"\u0001 \\u0000 \ud83d\ude00 \" ]","b":[1,-2.50,1e10,{}]}"#, "0", "\"\"", "[[],[]]"]
        {
            assert_eq!(json(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn text_that_postgres_refuses_is_unfit() {
        assert_eq!(json(r#""a\u0000b""#), Err(Unfit::Nul));
        assert_eq!(json(r#""\\\u0000""#), Err(Unfit::Nul));
        assert_eq!(json(r#""\ud83d""#), Err(Unfit::Surrogate));
        assert_eq!(json(r#""\ude00\ud83d""#), Err(Unfit::Surrogate));
    }

    #[test]
    fn numbers_count_as_they_are_stored() {
        assert_eq!(json("1e100000"), Err(Unfit::Number));
        assert_eq!(json("1E-100000"), Err(Unfit::Number));
        assert_eq!(json("1e99999999999999999999"), Err(Unfit::Number));
        assert_eq!(check_json("[1e900,1e900]", 1_000), Err(Unfit::EventSize { bytes: 1_813, max: 1_000 }));
    }

    #[test]
    fn nesting_is_bounded() {
        assert_eq!(json(&("[".repeat(64) + &"]".repeat(64))), Ok(()));
        assert_eq!(json(&("[".repeat(65) + &"]".repeat(65))), Err(Unfit::Depth));
    }

    #[test]
    fn names_are_plain() {
        assert!(check_name("order.replace-items").is_ok());
        for name in ["", "Order", "order created", "order\0", &"a".repeat(129)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
