//! How money looks in the document: a number marked `format: money`. Its bounds are filled in by `document`, because the
//! framework holds them as floats, which cannot say 99999999999999.99.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde_json::Value;

use crate::domain::money::Money;

/// Marks amounts in the document.
pub(crate) const FORMAT: &str = "money";

/// An amount of money in a published shape.
pub(crate) struct AmountOf<const POSITIVE: bool>(Money);

/// From 0.
pub(crate) type Amount = AmountOf<false>;
/// More than 0.
pub(crate) type PositiveAmount = AmountOf<true>;

impl<const POSITIVE: bool> AmountOf<POSITIVE> {
    /// For examples in the document.
    pub(crate) fn example(text: &str) -> Self {
        Self(Money::parse(text).expect("an example is an amount"))
    }
}

impl<const POSITIVE: bool> Type for AmountOf<POSITIVE> {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        FORMAT.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            exclusive_minimum: POSITIVE.then_some(true),
            ..MetaSchema::new_with_format("number", FORMAT)
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<const POSITIVE: bool> ParseFromJSON for AmountOf<POSITIVE> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Money::of(&value.unwrap_or_default()).map(Self).map_err(ParseError::custom)
    }
}

impl<const POSITIVE: bool> ToJSON for AmountOf<POSITIVE> {
    fn to_json(&self) -> Option<Value> {
        serde_json::to_value(self.0).ok()
    }
}
