//! The files that a plan was read from, and places in them.

use std::ops::Range;

/// A place in one of the files that a plan was read from.
///
/// Two places are always equal: where something stands does not make two plans differ.
#[derive(Clone, Debug)]
pub struct At {
    pub(crate) file: usize,
    pub(crate) span: Range<usize>,
}

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for At {}

/// One file as it was read.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path as it is shown.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// `span`, made to lie within the text, on whole letters and on one line.
    pub(crate) fn clip(&self, span: &Range<usize>) -> Range<usize> {
        let text = &self.text;
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
        let marked = text.get(start..end).unwrap_or_default();
        let line = marked.find('\n').unwrap_or(marked.len());
        start..start + marked.get(..line).unwrap_or_default().trim_end().len()
    }

    /// The text as it may be shown: stars, as many as there were bytes, stand in the place of
    /// passwords and of what [`base::redact`] leaves out of a URL, so every place stays where it
    /// is.
    pub(crate) fn shown(&self) -> String {
        let urls = self.without_urls();
        let mut shown = String::with_capacity(urls.len());
        let mut rest = urls.as_str();
        while let Some(found) = rest.find(PASSWORD) {
            let (before, after) = rest.split_at(found + PASSWORD.len());
            shown.push_str(before);
            rest = after;
            // The key may stand in quotes itself.
            let value = after.trim_start_matches(['"', '\'', ' ', '\t']);
            let Some(value) = value.strip_prefix('=') else { continue };
            let value = value.trim_start_matches([' ', '\t']);
            let Some(quote) = value.chars().next().filter(|quote| "\"'".contains(*quote)) else {
                continue;
            };
            let (between, value) = after.split_at(after.len() - value.len() + 1);
            let (password, after) = value.split_at(end(value, Some(quote)));
            shown.extend([between, &stars(password)]);
            rest = after;
        }
        shown.push_str(rest);
        shown
    }

    fn without_urls(&self) -> String {
        let mut shown = String::with_capacity(self.text.len());
        let mut rest = self.text.as_str();
        while let Some(found) = rest.find("://") {
            let (before, after) = rest.split_at(found + 3);
            let scheme = |letter: char| letter.is_ascii_alphanumeric() || "+-.:/".contains(letter);
            let quote = before.trim_end_matches(scheme).chars().next_back();
            let (url, after) = after.split_at(end(after, quote));
            shown.push_str(before);
            hide(url, &mut shown);
            rest = after;
        }
        shown.push_str(rest);
        shown
    }

    /// Line and column of `offset`, both from one, the column in letters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.text.floor_char_boundary(offset.min(self.text.len()));
        let before = self.text.get(..offset).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// What the names of keys end with that hold one.
const PASSWORD: &str = "password";

/// Stars in the place of what is hidden, unless it stands elsewhere and is not in the text.
fn stars(hidden: &str) -> String {
    match hidden.starts_with("${") && hidden.ends_with('}') {
        true if hidden.matches('}').count() == 1 => hidden.to_owned(),
        _ => "*".repeat(hidden.len()),
    }
}

/// Where a text ends that stands in these quotes, or in none.
fn end(text: &str, quote: Option<char>) -> usize {
    let mut escaped = false;
    let ends = |letter: char| match quote {
        _ if std::mem::take(&mut escaped) => false,
        Some('"') if letter == '\\' => {
            escaped = true;
            false
        }
        Some(quote @ ('"' | '\'')) => letter == quote || letter == '\n',
        _ => letter.is_whitespace(),
    };
    text.find(ends).unwrap_or(text.len())
}

/// Adds what follows a URL's `://`, with stars for its password and the values of its query.
fn hide(url: &str, shown: &mut String) {
    let (authority, rest) = url.split_at(url.find(['/', '?']).unwrap_or(url.len()));
    match authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?, host))) {
        Some(((user, password), host)) => {
            shown.extend([user, ":", &stars(password), "@", host]);
        }
        None => shown.push_str(authority),
    }
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    shown.push_str(path);
    for pair in query.split_inclusive(['?', '&']) {
        let (pair, mark) = pair.split_at(pair.len() - usize::from(pair.ends_with(['?', '&'])));
        match pair.split_once('=') {
            Some((name, value)) => shown.extend([name, "=", &stars(value), mark]),
            None => shown.extend([pair, mark]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_stars_and_every_place_stays() {
        for (text, shown) in [
            ("a = \"redis://u:pö@h:1/0\" # @", "a = \"redis://u:***@h:1/0\" # @"),
            ("a = 'redis://:p\"q@h' # b:c@d", "a = 'redis://:***@h' # b:c@d"),
            (r#"a = "redis://:p\"q r@h""#, r#"a = "redis://:******@h""#),
            ("'x://h/?a=b&c&d=e='\n'y://u:p@h'", "'x://h/?a=*&c&d=**'\n'y://u:*@h'"),
            ("'x://u:${env:P}@h?a=${env:A}b'", "'x://u:${env:P}@h?a=*********'"),
            ("# http://h u:p@h", "# http://h u:p@h"),
            ("'x://", "'x://"),
            ("a-password = \"p\\\"q\" # r", "a-password = \"****\" # r"),
            ("\"password\"='p', b='q'", "\"password\"='*', b='q'"),
            ("password = '${env:P}'\npassword = p", "password = '${env:P}'\npassword = p"),
            ("# the password is 'p'", "# the password is 'p'"),
        ] {
            let source = Source { path: String::new(), text: text.to_owned() };
            assert_eq!(source.shown(), shown);
            assert_eq!(source.shown().len(), text.len());
        }
    }
}
