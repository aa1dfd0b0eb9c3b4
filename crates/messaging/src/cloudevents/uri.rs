//! Whether a text is a URI, by the grammar of RFC 3986.

/// Whether it is a URI or what stands for one beside another.
pub(super) fn is_reference(text: &str) -> bool {
    match scheme(text) {
        Some(rest) => is_rest(rest),
        // "A path segment that contains a colon character […] cannot be used as the first segment."
        None => {
            let first = text.split(['/', '?', '#']).next().unwrap_or_default();
            !first.contains(':') && is_rest(text)
        }
    }
}

/// Whether it is a URI with a scheme.
pub(super) fn is_absolute(text: &str) -> bool {
    scheme(text).is_some_and(is_rest)
}

/// What follows the scheme, if there is one.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let begins = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    (begins && scheme.bytes().all(is_part)).then_some(rest)
}

/// Authority, path, query and fragment.
fn is_rest(text: &str) -> bool {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, path) = match text.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", text),
    };
    is_authority(authority)
        && are_of(path, b":@/")
        && are_of(query, b":@/?")
        && are_of(fragment, b":@/?")
}

/// `user@host:port`, whose host may be an address in brackets.
fn is_authority(text: &str) -> bool {
    let (user, host) = text.rsplit_once('@').unwrap_or(("", text));
    let (host, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, ""),
            Some((address, rest)) => match rest.strip_prefix(':') {
                Some(port) => (address, port),
                None => return false,
            },
            None => return false,
        },
        None => {
            let (host, port) = host.rsplit_once(':').unwrap_or((host, ""));
            if host.contains(':') {
                return false;
            }
            (host, port)
        }
    };
    are_of(user, b":") && are_of(host, b":") && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether all of it is unreserved, a sub-delimiter, escaped, or one of `more`.
fn are_of(text: &str, more: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let holds = match byte {
            b'%' => {
                let mut is_digit = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
                is_digit() && is_digit()
            }
            byte => {
                byte.is_ascii_alphanumeric()
                    || b"-._~!$&'()*+,;=".contains(&byte)
                    || more.contains(&byte)
            }
        };
        if !holds {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_told_from_what_is_none() {
        for text in [
            "https://github.com/cloudevents",
            "mailto:cncf-wg-serverless@lists.cncf.io",
            "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            "http://user:secret@[::1]:80/a/b%20c?d=/e#f?",
            "a+b-c.1:",
            "file:///tmp/x",
        ] {
            assert!(is_absolute(text) && is_reference(text), "{text}");
        }
        for text in ["/cloudevents/spec", "1-555-123-4567", "sensors/tn-1/alerts", "", "#a", "?b"] {
            assert!(is_reference(text) && !is_absolute(text), "{text}");
        }
        for text in [
            "a b",
            "/a\\b",
            "ä",
            "/a%2",
            "/a%zz",
            "1:2",
            "a/b#c#d",
            "http://[::1/a",
            "http://[::1]x/a",
            "http://a:b:c/",
            "http://a:x/",
            "a<b>",
            "/a[b]",
        ] {
            assert!(!is_reference(text), "{text}");
        }
    }
}
