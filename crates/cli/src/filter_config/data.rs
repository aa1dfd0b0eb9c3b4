//! What filters are configured with, as the deployment file has it.

use super::node::{Node, Object};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use serde_json::Value;
use toml_edit::{Array, InlineTable, Item, Table, Value as Toml};

/// How deep tables may be before they are written as text; readers of TOML have a bound.
const DEEP: usize = 32;

/// Whole numbers that a double has exactly, as the `Struct` of Protocol Buffers holds them.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Text that stands for itself: `${` would be filled in.
pub(crate) fn text(text: &str) -> Toml {
    text.replace("${", "$${").into()
}

/// A configuration, which is a field of the type `Any`: exactly what Envoy hands to the filter.
pub(crate) fn configuration(object: &Object<'_>) -> Option<Item> {
    let Some((name, inner)) = object.any() else {
        object.leave("what has no `@type` cannot be read");
        return None;
    };
    let value = || inner.take("value");
    match name {
        "google.protobuf.StringValue" => Some(Item::Value(text(value()?.text()?))),
        "google.protobuf.BytesValue" => {
            let node = value()?;
            let bytes = decode(node.text()?);
            let Some(plain) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) else {
                node.left("a configuration is text, and these bytes are none");
                return None;
            };
            Some(Item::Value(text(&plain)))
        }
        "google.protobuf.Struct" => structure(&value()?),
        // A `TypedStruct` holds the message of another type without more around it.
        _ => {
            inner
                .leave(&format!("filters are configured with text or JSON, and not with `{name}`"));
            None
        }
    }
}

/// A `Struct`, which the filter reads as JSON.
pub(crate) fn structure(node: &Node<'_>) -> Option<Item> {
    let Some(map) = node.value().as_object() else {
        node.left("this is no message");
        return None;
    };
    let value = Value::Object(map.clone());
    if fits(&value, 0) {
        return Some(Item::Table(table(map)));
    }
    node.changed("it is written as text: TOML has no null, and no such depth");
    Some(Item::Value(text(&plain(value).to_string())))
}

/// Whether TOML can say it.
fn fits(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null => false,
        Value::Number(number) => whole(number).is_some() || number.as_f64().is_some(),
        Value::Array(array) => depth < DEEP && array.iter().all(|value| fits(value, depth + 1)),
        Value::Object(map) => depth < DEEP && map.values().all(|value| fits(value, depth + 1)),
        Value::Bool(_) | Value::String(_) => true,
    }
}

/// The number if it is a whole one: a double that has no fraction is printed without one.
fn whole(number: &serde_json::Number) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number in the range")]
    let exact = |float: f64| (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64);
    number.as_i64().or_else(|| number.as_f64().and_then(exact))
}

/// The same value with its numbers as Envoy prints them.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => whole(&number).map_or(Value::Number(number), Value::from),
        Value::Array(array) => array.into_iter().map(plain).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, plain(value))).collect(),
        value => value,
    }
}

fn table(map: &serde_json::Map<String, Value>) -> Table {
    let mut table = Table::new();
    for (key, value) in map {
        let item = match value {
            Value::Object(map) => Item::Table(self::table(map)),
            value => Item::Value(inline(value)),
        };
        table.insert(key, item);
    }
    let all_tables = table.iter().all(|(_, item)| item.is_table());
    table.set_implicit(!table.is_empty() && all_tables);
    table
}

fn inline(value: &Value) -> Toml {
    match value {
        // `fits` let no null pass.
        Value::Null => Toml::from(""),
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => match whole(number) {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(string) => text(string),
        Value::Array(array) => Toml::Array(array.iter().map(inline).collect::<Array>()),
        Value::Object(map) => {
            let mut table = InlineTable::new();
            for (key, value) in map {
                table.insert(key, inline(value));
            }
            Toml::InlineTable(table)
        }
    }
}

/// Bytes as JSON of Protocol Buffers writes them: Base64 of either alphabet, padded or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.replace('-', "+").replace('_', "/");
    GeneralPurpose::new(&alphabet::STANDARD, config).decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_either_alphabet() {
        assert_eq!(decode("aGVsbG8="), Some(b"hello".to_vec()));
        assert_eq!(decode("aGVsbG8"), Some(b"hello".to_vec()));
        assert_eq!(decode("-_8="), Some(vec![0xfb, 0xff]));
        assert_eq!(decode("+/8="), Some(vec![0xfb, 0xff]));
        assert_eq!(decode(""), Some(Vec::new()));
        assert_eq!(decode("a"), None);
        assert_eq!(decode("a*=="), None);
    }

    #[test]
    fn what_stands_for_itself_is_not_filled_in() {
        assert_eq!(text("${env:X} $${a} $").as_str(), Some("$${env:X} $$${a} $"));
    }
}
