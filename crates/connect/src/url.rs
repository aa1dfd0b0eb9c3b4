//! URLs that say no more than a host, its port, a user and whether the way there is encrypted.

use base::Secret;
use std::net::Ipv6Addr;

/// What such a URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The user and the password.
    pub(crate) user: Option<(String, Secret)>,
    /// `host:port`
    pub(crate) host: String,
    pub(crate) tls: bool,
}

impl Target {
    /// Reads a URL of `scheme`, or of the same with an `s` for TLS.
    pub(crate) fn read(url: &str, scheme: &str, port: u16) -> Option<Self> {
        let (tls, rest) = match url.strip_prefix(scheme)?.split_once("://")? {
            ("", rest) => (false, rest),
            ("s", rest) => (true, rest),
            _ => return None,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => {
                let (name, password) = user.split_once(':')?;
                (Some((decode(name)?, Secret::new(decode(password)?))), host)
            }
            None => (None, rest),
        };
        Some(Self { user, host: address(host, port)?, tls })
    }
}

/// `host:port` of a host with or without a port.
pub(crate) fn address(node: &str, port: u16) -> Option<String> {
    let (host, port) = match node.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (node, port),
    };
    let is_name = |host: &str| {
        !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    };
    let is_address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    (port != 0 && (is_name(host) || is_address)).then(|| format!("{host}:{port}"))
}

/// Text with `%41` for `A`.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = str::from_utf8(&digits).ok()?;
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let plain = Target { user: None, host: "h:2379".to_owned(), tls: false };
        assert_eq!(Target::read("etcd://h", "etcd", 2379), Some(plain));
        let full = Target {
            user: Some(("a b".to_owned(), Secret::new("p@:/"))),
            host: "[::1]:7".to_owned(),
            tls: true,
        };
        let url = "etcds://a%20b:p%40:%2F@[::1]:7/";
        assert_eq!(Target::read(url, "etcd", 2379), Some(full.clone()));
        assert!(!format!("{full:?}").contains("p@"), "{full:?}");
        for wrong in [
            "etcd:h",
            "etcd://",
            "etcd://h:x",
            "etcd://h:0",
            "etcd://u@h",
            "etcd://h/p",
            "etcd://%@h",
            "etcdx://h",
            "redis://h",
        ] {
            assert_eq!(Target::read(wrong, "etcd", 2379), None, "{wrong}");
        }
        assert_eq!(address("[::1]", 2379).as_deref(), Some("[::1]:2379"));
    }
}
