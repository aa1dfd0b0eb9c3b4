//! The rules of attributes: which names there may be, and what each may say.

use super::{CONTENT_TYPE, ID, SOURCE, SPECVERSION, TIME, TYPE, VERSION, malformed, shown, uri};
use base::{Result, rfc3339};

/// Holds an attribute to its rules.
///
/// # Errors
/// What is wrong, with its name.
pub(super) fn check(name: &str, value: &str) -> Result<()> {
    check_name(name)?;
    // "The following characters are disallowed": controls, and code points that are no characters.
    if value.chars().any(|c| c.is_control() || is_no_character(c)) {
        return Err(malformed(format!("`{name}` has a character that no attribute may have")));
    }
    let holds = match name {
        SPECVERSION => value == VERSION,
        ID | TYPE | "subject" => !value.is_empty(),
        SOURCE => !value.is_empty() && uri::is_reference(value),
        "dataschema" => uri::is_absolute(value),
        TIME => rfc3339::parse(value).is_some(),
        CONTENT_TYPE => is_media_type(value),
        _ => true,
    };
    if holds {
        return Ok(());
    }
    let rule = match name {
        SPECVERSION => "is `1.0`",
        SOURCE => "is a URI reference",
        "dataschema" => "is a URI with a scheme",
        TIME => "is a moment of RFC 3339, such as `2026-01-31T12:00:00Z`",
        CONTENT_TYPE => "is a media type, such as `application/json`",
        _ => "is not empty",
    };
    Err(malformed(format!("`{name}` {rule}, not `{}`", shown(value))))
}

/// "CloudEvents attribute names MUST consist of lower-case letters ('a' to 'z') or digits ('0' to
/// '9') from the ASCII character set." And `data` is the event's data.
pub(super) fn check_name(name: &str) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match !name.is_empty() && name != "data" && name.bytes().all(is_plain) {
        true => Ok(()),
        false => Err(malformed(format!(
            "`{}` is no name of an attribute: it has lower-case letters and digits",
            shown(name)
        ))),
    }
}

fn is_no_character(c: char) -> bool {
    let code = u32::from(c);
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// `type/subtype`, and what may come behind a `;`.
fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_token = |token: &str| {
        let is_part = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte);
        !token.is_empty() && token.bytes().all(is_part)
    };
    essence.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
}

/// Whether data of this type is JSON: the subtype `json`, or one that ends with `+json`.
pub(super) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let subtype = essence.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    subtype == "json" || subtype.ends_with("+json")
}

/// Whether data of this type is text.
pub(super) fn is_text(content_type: &str) -> bool {
    let kind = content_type.split('/').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attribute_has_its_rules() {
        for (name, value) in [
            ("specversion", "1.0"),
            ("id", "ä 1"),
            ("source", "/shop"),
            ("source", "https://example.com/a?b#c"),
            ("source", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"),
            ("type", "com.example.order"),
            ("subject", "x"),
            ("dataschema", "https://example.com/schema"),
            ("time", "2026-01-31T12:00:00+01:00"),
            ("datacontenttype", "text/plain; charset=utf-8"),
            ("datacontenttype", "application/vnd.a+json"),
            ("ext1", ""),
        ] {
            check(name, value).unwrap_or_else(|error| panic!("{name} {value}: {error}"));
        }
        for (name, value) in [
            ("specversion", "0.3"),
            ("specversion", "1.0 "),
            ("id", ""),
            ("source", ""),
            ("source", "a b"),
            ("type", ""),
            ("subject", ""),
            ("dataschema", "/relative"),
            ("time", "2026-01-31"),
            ("datacontenttype", "json"),
            ("datacontenttype", "a b/c"),
            ("ext1", "a\nb"),
            ("ext1", "\u{fffe}"),
            ("ext1", "\u{fdd0}"),
            ("Ext", "x"),
            ("ext_1", "x"),
            ("ext-1", "x"),
            ("data", "x"),
            ("", "x"),
            ("größe", "x"),
        ] {
            let error = check(name, value).expect_err(name);
            assert!(error.message().contains("malformed CloudEvent"), "{name} {value}: {error}");
        }
    }

    #[test]
    fn data_is_told_by_its_type() {
        for json in ["application/json", "text/json", "a/b+json; x=y", "APPLICATION/JSON"] {
            assert!(is_json(json), "{json}");
        }
        for other in ["text/plain", "application/jsonx", "application/xml", "json/a"] {
            assert!(!is_json(other), "{other}");
        }
        assert!(is_text("text/csv") && !is_text("application/text"));
    }
}
