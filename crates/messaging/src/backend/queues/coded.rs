//! How what is written down of a group is spelled where few letters are allowed.

use std::fmt::Write as _;

/// Text in letters that tags and headers may have: all others are bytes behind a `=`.
pub(in crate::backend) fn coded(text: &str) -> String {
    let mut coded = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' | b'.' | b'-' | b'_' | b'/' | b':' | b'+' => coded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => coded.push(char::from(byte)),
            // Writing to a string does not fail.
            byte => _ = write!(coded, "={byte:02X}"),
        }
    }
    coded
}

/// The text as it was. `None`: nobody wrote that.
pub(in crate::backend) fn decoded(coded: &str) -> Option<String> {
    let mut pieces = coded.split('=');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (number, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(number, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}
