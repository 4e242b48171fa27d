//! JSON written as YAML, digit for digit: a YAML library would take 99999999999999.99 for a float.
//!
//! Writes the small part of YAML 1.2 that JSON needs: block mappings and sequences, plain, quoted and literal texts.

use std::fmt::Write;

use serde_json::Value;

/// Words that are no text when written plainly, in YAML 1.1 or 1.2.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// Writes a document; its members named in `first` come first, in that order.
pub(crate) fn write(document: &Value, first: &[&str]) -> String {
    let mut yaml = String::new();
    let Value::Object(members) = document else {
        return yaml;
    };
    let named = first.iter().filter_map(|name| members.get_key_value(*name));
    let rest = members.iter().filter(|(name, _)| !first.contains(&name.as_str()));
    for (name, member) in named.chain(rest) {
        write_member(&mut yaml, name, member, 0);
    }
    yaml
}

fn write_member(yaml: &mut String, name: &str, member: &Value, depth: usize) {
    indent(yaml, depth);
    yaml.push_str(&text(name));
    yaml.push(':');
    write_value(yaml, member, depth);
}

/// Writes what follows `name:` or `-`, up to the end of its last line.
fn write_value(yaml: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            yaml.push('\n');
            members.iter().for_each(|(name, member)| write_member(yaml, name, member, depth + 1));
        }
        Value::Array(items) if !items.is_empty() => {
            yaml.push('\n');
            for item in items {
                indent(yaml, depth + 1);
                yaml.push('-');
                let mut nested = String::new();
                write_value(&mut nested, item, depth + 1);
                // What would begin on a line of its own begins right behind the dash, which is as wide as an indent.
                let behind =
                    nested.strip_prefix('\n').map(|lines| format!(" {}", lines.trim_start_matches(' ')));
                yaml.push_str(behind.as_ref().unwrap_or(&nested));
            }
        }
        Value::String(lines) if is_literal(lines) => {
            yaml.push_str(if lines.ends_with('\n') { " |\n" } else { " |-\n" });
            for line in lines.lines() {
                if !line.is_empty() {
                    indent(yaml, depth + 1);
                    yaml.push_str(line);
                }
                yaml.push('\n');
            }
        }
        Value::String(line) => end(yaml, &text(line)),
        // Empty lists and objects, numbers, flags and null are written alike in both.
        other => end(yaml, &other.to_string()),
    }
}

fn end(yaml: &mut String, scalar: &str) {
    writeln!(yaml, " {scalar}").expect("a text takes what is written");
}

fn indent(yaml: &mut String, depth: usize) {
    (0..depth).for_each(|_| yaml.push_str("  "));
}

/// Several lines that can be shown as they are.
fn is_literal(text: &str) -> bool {
    text.trim_end_matches('\n').contains('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n'])
        && !text.chars().any(|c| c.is_control() && c != '\n')
}

/// A text on one line: plain where that is safe, else quoted as in JSON, which YAML reads alike.
fn text(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '$')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " _-./${}()'".contains(c))
        && !text.ends_with(' ')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_digit_is_kept_and_odd_texts_are_quoted() {
        let mut document = json!({
            "b": {"text": "two words", "odd": "yes", "colon": "a: b", "empty": {}, "list": [1, {"x": null, "z": 1}, []]},
            "a": "one\n\ntwo",
            "200": "key",
        });
        document["b"]["max"] = serde_json::from_str("99999999999999.99").unwrap();
        let expected = r#"b:
  colon: "a: b"
  empty: {}
  list:
    - 1
    - x: null
      z: 1
    - []
  max: 99999999999999.99
  odd: "yes"
  text: two words
"200": key
a: |-
  one

  two
"#;
        assert_eq!(write(&document, &["b"]), expected);
    }
}
