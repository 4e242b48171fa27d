//! The published schemas as validators: a body is held against the very schema that openapi.yaml shows.
//!
//! Serves REST, the command line and the command topic alike. Leaves to the domain what a schema cannot say, such as a
//! total that is the sum of its items. The invariant: every fault is told at once, one per place, as many as a person can
//! read.

use std::collections::BTreeMap;

use jsonschema::{
    Draft, Validator,
    error::{TypeKind, ValidationError, ValidationErrorKind as Kind},
};
use serde_json::{Number, Value};

use crate::aggregate::Violation;

/// Faults that are told of a body, and bytes of the place of one. A body of nothing but faults would take a thousand times
/// its own size.
const FAULTS_MAX: usize = 100;
const POINTER_BYTES_MAX: usize = 1_024;
const NUL: &str = "must not hold the character NUL";
const NUMBER_DIGITS_MAX: u32 = 64;
const LONG_NUMBER: &str =
    "must be a number of at most 64 digits, written with an exponent of -64 to 64 or none";

/// The command schemas of a document, compiled once.
pub struct Schemas {
    by_name: BTreeMap<String, Schema>,
    /// As published.
    published: Value,
}

struct Schema {
    validator: Validator,
    /// Whether `{}` satisfies it.
    requires_nothing: bool,
}

impl Schemas {
    /// Compiles the component schemas of a finished document.
    ///
    /// # Panics
    /// When one does not compile: a mistake in the program or a folder that was not checked, met at the start.
    pub fn of(document: &Value) -> Self {
        let components = &document["components"];
        let schemas = components["schemas"].as_object().into_iter().flatten();
        let by_name = schemas
            .map(|(name, schema)| {
                let root = serde_json::json!({
                    "allOf": [{"$ref": format!("#/components/schemas/{name}")}],
                    "components": {"schemas": components["schemas"]},
                });
                // OpenAPI 3.0 speaks an older JSON Schema: `exclusiveMinimum` is a flag there.
                let validator = jsonschema::options()
                    .with_draft(Draft::Draft4)
                    .build(&root)
                    .unwrap_or_else(|error| panic!("the schema `{name}` does not compile: {error}"));
                let requires_nothing = schema.get("required").is_none();
                (name.clone(), Schema { validator, requires_nothing })
            })
            .collect();
        Self { by_name, published: components["schemas"].clone() }
    }

    /// Brings a body into its plain form (what the schema does not name, blank strings and nulls are left out) and tells
    /// what is wrong with it: the first hundred faults. A schema that is not published, as that of a command without a
    /// body, asks for nothing.
    pub fn validate(&self, schema: &str, body: &mut Value) -> Vec<Violation> {
        let is_cut = self.published.get(schema).is_some_and(|schema| self.drop_unknown(body, schema));
        drop_blanks(body);
        let mut violations = BTreeMap::new();
        find_unfit(body, &mut String::new(), &mut violations);
        if let Some(schema) = self.by_name.get(schema) {
            for error in schema.validator.iter_errors(body).take(FAULTS_MAX) {
                let Violation { pointer, detail } = violation(&error);
                note(&pointer, &detail, &mut violations);
            }
        }
        if is_cut {
            // Refused; and what is left of it is not what was sent, so nobody is to find more in it.
            *body = Value::Null;
        }
        violations.into_values().collect()
    }

    /// Leaves out members that the schema does not name, so that they count nowhere: not as faults, not in fingerprints, and
    /// nothing of them is stored. An object whose schema names no members is left as it is. Of a list that is too long one
    /// element too many is left, so that the faults of the rest cost nothing; returns whether one was.
    fn drop_unknown(&self, value: &mut Value, schema: &Value) -> bool {
        if let Some(named) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            return self.published.get(named).is_some_and(|schema| self.drop_unknown(value, schema));
        }
        match value {
            Value::Array(items) => {
                let most = schema["maxItems"].as_u64().map_or(usize::MAX, |most| most as usize);
                let is_cut = items.len() > most;
                items.truncate(most.saturating_add(1));
                items.iter_mut().fold(is_cut, |cut, item| self.drop_unknown(item, &schema["items"]) || cut)
            }
            Value::Object(members) => {
                let Some(named) = schema["properties"].as_object() else {
                    return false;
                };
                members.retain(|name, _| named.contains_key(name));
                members
                    .iter_mut()
                    .fold(false, |cut, (name, member)| self.drop_unknown(member, &named[name]) || cut)
            }
            _ => false,
        }
    }

    pub(crate) fn requires_nothing(&self, schema: &str) -> bool {
        self.by_name.get(schema).is_none_or(|schema| schema.requires_nothing)
    }
}

/// Blank strings become null, and members that are null are left out: validators know no `nullable`. Elements of arrays
/// stay, so that pointers keep their meaning.
fn drop_blanks(value: &mut Value) {
    match value {
        Value::String(text) if text.trim().is_empty() => *value = Value::Null,
        Value::Array(items) => items.iter_mut().for_each(drop_blanks),
        Value::Object(members) => members.retain(|_, member| {
            drop_blanks(member);
            !member.is_null()
        }),
        _ => {}
    }
}

/// Finds what no schema forbids and nothing here can take: NUL, which Postgres does not store, not even escaped; and numbers
/// that are too long to compute with. The validator would do that exactly, for minutes in one body, so 0 takes their places.
fn find_unfit(value: &mut Value, pointer: &mut String, violations: &mut BTreeMap<String, Violation>) {
    let mut descend = |token: &str, inner: &mut Value| {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&escape(token));
        if token.contains('\0') {
            note(pointer, NUL, violations);
        }
        find_unfit(inner, pointer, violations);
        pointer.truncate(length);
    };
    match value {
        Value::String(text) if text.contains('\0') => note(pointer, NUL, violations),
        Value::Number(number) if is_too_long(number) => {
            note(pointer, LONG_NUMBER, violations);
            *value = 0.into();
        }
        Value::Array(items) => {
            (0..).zip(items).for_each(|(index, item)| descend(&i32::to_string(&index), item))
        }
        Value::Object(members) => members.iter_mut().for_each(|(name, member)| descend(name, member)),
        _ => {}
    }
}

/// Whether a number has more than [`NUMBER_DIGITS_MAX`] characters as written, or as many places before or behind its point.
fn is_too_long(number: &Number) -> bool {
    let text = number.as_str();
    let exponent = text.split_once(['e', 'E']).map_or("0", |(_, exponent)| exponent);
    let is_small = exponent.parse().is_ok_and(|exponent: i32| exponent.unsigned_abs() <= NUMBER_DIGITS_MAX);
    text.len() > NUMBER_DIGITS_MAX as usize || !is_small
}

/// Notes a fault, unless one is told of its place or enough are told. The place of one that lies too deep is what it is in.
fn note(pointer: &str, detail: &str, violations: &mut BTreeMap<String, Violation>) {
    let near = pointer.floor_char_boundary(POINTER_BYTES_MAX);
    let whole = pointer.len() == near;
    let pointer =
        if whole { pointer } else { pointer[..near].rsplit_once('/').map_or("", |(outer, _)| outer) };
    if violations.len() < FAULTS_MAX {
        violations.entry(pointer.to_owned()).or_insert_with(|| Violation::at(pointer, detail));
    }
}

/// A name as part of a JSON Pointer (RFC 6901).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A fault in words for people. The pointer of a missing member is where it should be.
fn violation(error: &ValidationError<'_>) -> Violation {
    let mut pointer = error.instance_path().as_str().to_owned();
    let detail = match error.kind() {
        Kind::Required { property } => {
            pointer.push('/');
            pointer.push_str(&escape(property.as_str().unwrap_or_default()));
            "is required".to_owned()
        }
        Kind::Type { kind: TypeKind::Single(expected) } => match expected.to_string().as_str() {
            "integer" => "must be a whole number, written without a point or exponent".to_owned(),
            "array" => "must be a list".to_owned(),
            "object" => "must be an object".to_owned(),
            other => format!("must be a {other}"),
        },
        Kind::MinLength { limit } => format!("must have at least {limit} character(s)"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} item(s)"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::Format { format } => format!("must be a valid {format}"),
        Kind::Enum { options } => format!("must be one of {options}"),
        // Its text would show the value back, which may be a secret.
        other => format!("breaks the rule `{}` of its schema", other.keyword()),
    };
    Violation { pointer, detail }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schemas() -> Schemas {
        Schemas::of(&json!({"components": {"schemas": {
            "Order": {"type": "object", "required": ["customer", "total", "items"], "properties": {
                "customer": {"type": "string", "minLength": 1, "maxLength": 3},
                "total": {"type": "number", "minimum": 0, "maximum": 1000, "multipleOf": serde_json::from_str::<Value>("0.01").unwrap()},
                "items": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Item"}},
            }},
            "Item": {"type": "object", "required": ["quantity"], "properties": {
                "quantity": {"type": "integer", "minimum": 1, "maximum": 1000000},
            }},
            "Nothing": {"type": "object"},
        }}}))
    }

    fn faults(body: &str) -> Vec<String> {
        let mut body = serde_json::from_str(body).unwrap();
        let violations = schemas().validate("Order", &mut body);
        violations.into_iter().map(|v| format!("{} {}", v.pointer, v.detail)).collect()
    }

    #[test]
    fn every_fault_is_told_at_once() {
        assert_eq!(
            faults(
                r#"{"customer": " ", "total": 1.234, "items": [{}, {"quantity": 0}, null, {"quantity": 2.0}]}"#
            ),
            [
                "/customer is required",
                "/items/0/quantity is required",
                "/items/1/quantity must be at least 1",
                "/items/2 must be an object",
                "/items/3/quantity must be a whole number, written without a point or exponent",
                "/total must be a multiple of 0.01",
            ]
        );
        assert_eq!(faults("[]"), [" must be an object"]);
    }

    #[test]
    fn numbers_are_held_against_the_schema_digit_for_digit() {
        let total = |number: &str| {
            faults(&format!(r#"{{"customer":"a","items":[{{"quantity":1}}],"total":{number}}}"#))
        };
        for exact in ["0.29", "1.15", "19.99", "1000", "1e2", "0"] {
            assert!(total(exact).is_empty(), "{exact}");
        }
        for odd in
            ["0.30000000000000004", "1.000000000000000000001", "1e400", "-0.01", "1000.01", "1e-400", "\"1\""]
        {
            assert_eq!(total(odd).len(), 1, "{odd}");
        }
    }

    #[test]
    fn numbers_too_long_to_compute_with_are_refused_before_anything_computes_with_them() {
        let many = vec![r#"{"quantity":1e-9998}"#; 20_000].join(",");
        let found = faults(&format!(r#"{{"customer":"a","items":[{many}],"total":1E+2147483648}}"#));
        assert_eq!(found.len(), FAULTS_MAX, "as many as a person can read");
        assert!(found.iter().all(|fault| fault.ends_with(LONG_NUMBER)), "{:?}", found[0]);
        for (number, is_long) in [
            ("1e64", false),
            ("-1E-64", false),
            ("1e65", true),
            ("1e-99999999999", true),
            (&"9".repeat(64), false),
            (&"9".repeat(65), true),
        ] {
            assert_eq!(is_too_long(&serde_json::from_str(number).unwrap()), is_long, "{number}");
        }
    }

    #[test]
    fn lengths_count_code_points() {
        let customer =
            |text: &str| faults(&format!(r#"{{"customer":"{text}","items":[{{"quantity":1}}],"total":1}}"#));
        assert!(customer("äöü").is_empty());
        assert!(customer("😀😀😀").is_empty());
        assert_eq!(customer("äöüß"), ["/customer must have at most 3 characters"]);
    }

    #[test]
    fn blanks_and_nulls_count_as_missing_at_any_depth() {
        let mut body = json!({"a": " ", "b": {"c": "\t", "d": [" ", "x"]}, "e": null});
        drop_blanks(&mut body);
        assert_eq!(body, json!({"b": {"d": [null, "x"]}}));
    }

    #[test]
    fn members_that_no_schema_names_are_left_out() {
        let mut body =
            json!({"customer": "a", "total": 1, "items": [{"quantity": 1, "x": 1}], "x": {"y": "\u{0}"}});
        assert_eq!(schemas().validate("Order", &mut body), []);
        assert_eq!(body, json!({"customer": "a", "total": 1, "items": [{"quantity": 1}]}));
    }

    #[test]
    fn faults_take_no_more_than_the_body() {
        let name = "a".repeat(100_000);
        let mut body = json!({ name: vec![json!("\u{0}"); 50_000] });
        let found = schemas().validate("Nothing", &mut body);
        assert_eq!(found.len(), 1, "what lies too deep is told of what it is in");
        assert!(found.iter().all(|violation| violation.pointer.len() <= POINTER_BYTES_MAX));
    }

    #[test]
    fn nul_is_found_anywhere() {
        let mut body = json!({"a": [{"b/c": "x\u{0}"}], "d\u{0}": 1});
        let pointers: Vec<_> =
            schemas().validate("Nothing", &mut body).into_iter().map(|violation| violation.pointer).collect();
        assert_eq!(pointers, ["/a/0/b~1c", "/d\u{0}"]);
    }
}
