//! Exact amounts of money. Read from the text of a JSON number and written back as one; never a float in between.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Number, Value};

use crate::aggregate::Violation;

/// Places after the point.
const PLACES: i64 = 2;
/// Longest text of a number that is looked at; more digits cannot be a valid amount.
const TEXT_MAX: usize = 64;

/// An amount in minor units (hundredths), from 0 to [`Money::MAX`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

/// Why a number is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotMoney {
    #[error("must have at most 2 decimal places")]
    Places,
    #[error("must be from 0 to 99999999999999.99")]
    Range,
    #[error("must be a number")]
    Type,
}

impl Money {
    pub const ZERO: Self = Self(0);
    /// 99 999 999 999 999.99: sixteen digits.
    pub const MAX: Self = Self(9_999_999_999_999_999);

    /// An amount in minor units.
    pub fn from_minor(minor: i64) -> Option<Self> {
        (0..=Self::MAX.0).contains(&minor).then_some(Self(minor))
    }

    /// Reads the text of a JSON number (RFC 8259, §6). Places are counted as written: `1.000` has three.
    pub fn parse(text: &str) -> Result<Self, NotMoney> {
        if text.len() > TEXT_MAX {
            return Err(NotMoney::Range);
        }
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().map_err(|_| NotMoney::Range)?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let places = i64::try_from(fraction.len()).map_err(|_| NotMoney::Places)?.saturating_sub(exponent);
        if places > PLACES {
            return Err(NotMoney::Places);
        }
        let digits: i128 = format!("{whole}{fraction}").parse().map_err(|_| NotMoney::Range)?;
        let scale = u32::try_from(PLACES.saturating_sub(places)).map_err(|_| NotMoney::Range)?;
        let minor =
            10_i128.checked_pow(scale).and_then(|scale| digits.checked_mul(scale)).ok_or(NotMoney::Range)?;
        i64::try_from(minor).ok().and_then(Self::from_minor).ok_or(NotMoney::Range)
    }

    /// Reads a JSON value.
    pub fn of(value: &Value) -> Result<Self, NotMoney> {
        value.as_number().ok_or(NotMoney::Type).and_then(|number| Self::parse(number.as_str()))
    }

    /// What is wrong with the amount that `pointer` names in `body`; nothing where it is absent.
    pub fn violation(body: &Value, pointer: &str) -> Option<Violation> {
        let error = Self::of(body.pointer(pointer)?).err()?;
        Some(Violation::at(pointer, error.to_string()))
    }

    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::from_minor)
    }

    /// The difference; `None` where it would be negative.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).and_then(Self::from_minor)
    }

    /// In minor units, wide enough for sums and products.
    pub fn minor(self) -> i128 {
        i128::from(self.0)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_string()
            .parse::<Number>()
            .expect("digits, a point and two digits are a JSON number")
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(Number::deserialize(deserializer)?.as_str()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<String, NotMoney> {
        Money::parse(text).map(|money| money.to_string())
    }

    #[test]
    fn keeps_every_digit() {
        for (given, kept) in [
            ("0", "0.00"),
            ("0.29", "0.29"),
            ("1.15", "1.15"),
            ("19.9", "19.90"),
            ("1e2", "100.00"),
            ("1.5e1", "15.00"),
            ("90071992547409.93", "90071992547409.93"),
            ("99999999999999.99", "99999999999999.99"),
        ] {
            assert_eq!(text(given).as_deref(), Ok(kept), "{given}");
            let json: Money = serde_json::from_str(given).expect(given);
            assert_eq!(serde_json::to_string(&json).expect(given), kept);
            assert_eq!(serde_json::to_value(json).expect(given).to_string(), kept);
        }
    }

    #[test]
    fn refuses_what_would_be_rounded() {
        for given in
            ["0.30000000000000004", "1.005", "1.000", "1e-3", "1.000000000000000000000000000000000000001"]
        {
            assert_eq!(text(given), Err(NotMoney::Places), "{given}");
        }
    }

    #[test]
    fn refuses_what_is_out_of_range() {
        for given in ["-1", "-0.01", "100000000000000", "1e400", "1e99999999999999999999"] {
            assert_eq!(text(given), Err(NotMoney::Range), "{given}");
        }
        assert_eq!(Money::of(&Value::String("1".into())), Err(NotMoney::Type));
    }
}
