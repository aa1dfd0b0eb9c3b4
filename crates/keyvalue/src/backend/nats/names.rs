//! How keys become subjects, and what a bucket is called by default.
//!
//! A key that every client of NATS takes is kept as it is. Any other, which may hold spaces, `*`,
//! or dots where no dot may be, begins with `=`, and every byte that is no letter, digit, `-`, `_`
//! or `/` is written `=3A`, as in `user=3A1`. Plain keys never begin with `=`, so no two keys meet.

use base::Place;
use connect::names::digest;
use std::fmt::Write as _;

/// Before each key that is not plain.
const MARK: char = '=';
/// Longer names of buckets end with a number instead.
const LONGEST: usize = 100;

/// The part of a subject that stands for `key`.
pub(super) fn token(key: &str) -> String {
    if is_plain(key) {
        return key.to_owned();
    }
    let mut token = String::with_capacity(key.len() * 2);
    token.push(MARK);
    for byte in key.bytes() {
        match byte {
            b'-' | b'_' | b'/' => token.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => token.push(char::from(byte)),
            // Writing to a string does not fail.
            byte => _ = write!(token, "{MARK}{byte:02X}"),
        }
    }
    token
}

/// The key that `token` stands for; `None` where another client made what stands for none.
pub(super) fn key(token: &str) -> Option<String> {
    let Some(escaped) = token.strip_prefix(MARK) else {
        return is_plain(token).then(|| token.to_owned());
    };
    let mut parts = escaped.split(MARK);
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    let key = String::from_utf8(bytes).ok()?;
    // One key has one token, or it could be read under two names.
    (!key.is_empty() && self::token(&key) == token).then_some(key)
}

/// Whether every client of NATS takes the key.
fn is_plain(key: &str) -> bool {
    !key.starts_with(MARK)
        && key.split('.').all(|part| !part.is_empty() && part.bytes().all(is_allowed))
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'=')
}

/// Whether a bucket may be called that.
pub(super) fn is_bucket(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.len() <= 200 && name.bytes().all(is_allowed)
}

/// `wharf_<app>_<binding>`, with a number behind it where that could be another binding's too.
pub(super) fn bucket(place: &Place) -> String {
    let Place { app, binding, .. } = place;
    let name = format!("wharf_{app}_{binding}");
    let is_clear = |name: &str| is_bucket(name) && !name.contains('_');
    if is_clear(app) && is_clear(binding) && name.len() <= LONGEST {
        return name;
    }
    let hash = digest(app.bytes().chain([0]).chain(binding.bytes()));
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let name: String = format!("{app}_{binding}").chars().map(allowed).take(LONGEST).collect();
    format!("wharf_{name}_{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_become_subjects_and_back() {
        for (key, wanted) in [
            ("plain", "plain"),
            ("a/b.c-d_e=f", "a/b.c-d_e=f"),
            ("user:1", "=user=3A1"),
            ("=", "==3D"),
            ("==3D", "==3D=3D3D"),
            (".a", "==2Ea"),
            ("a..b", "=a=2E=2Eb"),
            ("a.", "=a=2E"),
            ("*", "==2A"),
            (">", "==3E"),
            (" \n\0", "==20=0A=00"),
            ("é", "==C3=A9"),
        ] {
            assert_eq!(token(key), wanted);
            assert_eq!(super::key(wanted).as_deref(), Some(key));
        }
    }

    #[test]
    fn what_stands_for_no_key_is_told() {
        for token in ["=", "=plain", "=a=2e", "=a=2", "=a=é", "==FF", "a b", "a..b", ""] {
            assert_eq!(key(token), None, "{token}");
        }
    }

    #[test]
    fn no_two_bindings_share_a_bucket() {
        let place = |app: &str, binding: &str| Place {
            base: "/".into(),
            data: "/".into(),
            app: app.to_owned(),
            capability: "keyvalue",
            binding: binding.to_owned(),
        };
        assert_eq!(bucket(&place("shop", "default")), "wharf_shop_default");
        let long = "x".repeat(300);
        let pairs = [("a", "b"), ("a_b", "c"), ("a", "b_c"), ("ä", "b"), ("ö", "b"), ("", "")];
        let pairs = pairs.into_iter().chain([(long.as_str(), "b"), (long.as_str(), "c")]);
        let mut seen = HashSet::new();
        for (app, binding) in pairs {
            let name = bucket(&place(app, binding));
            assert!(is_bucket(&name), "{name}");
            assert!(seen.insert(name), "{app} {binding}");
        }
    }
}
