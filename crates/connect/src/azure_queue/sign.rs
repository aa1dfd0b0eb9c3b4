//! What is signed of a call, as the rules of the shared key want it written down.

use http_types::Method;
use std::fmt::Write as _;

/// What a call says that its signature covers.
pub(super) struct Words<'a> {
    pub(super) method: &'a Method,
    /// Of its body.
    pub(super) length: usize,
    /// Those that begin with `x-ms-`, by their names.
    pub(super) headers: &'a [(String, String)],
    pub(super) account: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
}

impl Words<'_> {
    pub(super) fn text(&self) -> String {
        let length = match self.length {
            0 => String::new(),
            length => length.to_string(),
        };
        // Encoding, language, length, hash, type, date, the five of conditions and ranges.
        let mut text = format!("{}\n\n\n{length}\n\n\n\n\n\n\n\n\n", self.method);
        // Writing to a string does not fail.
        for (name, value) in self.headers {
            _ = writeln!(text, "{name}:{value}");
        }
        _ = write!(text, "/{}{}", self.account, self.path);
        let mut query = self.query.to_vec();
        query.sort_unstable();
        for (name, value) in query {
            _ = write!(text, "\n{name}:{value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_stand_as_the_rules_want_them() {
        let words = Words {
            method: &Method::PUT,
            length: 0,
            headers: &[("x-ms-date".to_owned(), "now".to_owned())],
            account: "me",
            path: "/q",
            query: &[("timeout", "1"), ("comp", "metadata")],
        };
        let wanted = "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:now\n/me/q\ncomp:metadata\ntimeout:1";
        assert_eq!(words.text(), wanted);
    }
}
