//! Which hosts a component may reach: rules that were read, and addresses that were resolved.
//!
//! A name is checked twice: as it was asked for, and at the address that it resolved to. The
//! second check is what makes DNS rebinding useless: a public name that suddenly points into the
//! private network is refused, whatever its rule says.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The rules of one component. None at all means that it reaches nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    rules: Vec<Rule>,
}

/// One rule: `https://api.example.com`, `*.internal:8080`, `10.0.0.0/8`, `[::1]:80`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    scheme: Option<String>,
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// Every public address.
    Any,
    Name(String),
    /// Every name below this one.
    Below(String),
    Network(IpAddr, u8),
}

/// Endings that no public name has. A rule that names one means the private network.
const PRIVATE_ENDINGS: &[&str] =
    &["localhost", "internal", "local", "localdomain", "home.arpa", "test", "lan", "svc"];

/// Addresses where clouds hand out credentials. Only a rule with the exact address opens them.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

impl Egress {
    /// The given rules.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self { rules: rules.into_iter().collect() }
    }

    /// Whether nothing is allowed at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether `host` may be asked for at all. Decides before any name is looked up.
    ///
    /// `scheme` is `None` for raw sockets, which rules with a scheme do not open; `port` is `None`
    /// where it is not yet known, as in a name look-up.
    pub fn allows_name(&self, scheme: Option<&str>, host: &str, port: Option<u16>) -> bool {
        let address = literal(host);
        self.rules.iter().any(|rule| match address {
            Some(address) => rule.fits(scheme, port) && rule.covers(address),
            None => rule.fits(scheme, port) && rule.names(host),
        })
    }

    /// Whether a connection that asked for `host` may go to `address`.
    ///
    /// `host` is `None` where a raw socket connects to an address that no look-up returned.
    pub fn allows_address(
        &self,
        scheme: Option<&str>,
        host: Option<&str>,
        address: IpAddr,
        port: u16,
    ) -> bool {
        let address = canonical(address);
        let rules = || self.rules.iter().filter(|rule| rule.fits(scheme, Some(port)));
        if rules().any(|rule| rule.covers(address)) {
            return true;
        }
        let Some(host) = host.filter(|host| literal(host).is_none()) else { return false };
        rules().any(|rule| {
            rule.names(host) && (is_public(address) || (rule.is_private() && is_private(address)))
        })
    }
}

impl Rule {
    /// Whether scheme and port are the rule's.
    fn fits(&self, scheme: Option<&str>, port: Option<u16>) -> bool {
        let scheme_fits = match (&self.scheme, scheme) {
            (None, _) => true,
            (Some(rule), Some(asked)) => rule == asked,
            (Some(_), None) => false,
        };
        scheme_fits && port.is_none_or(|port| self.port.is_none_or(|rule| rule == port))
    }

    /// Whether the rule is about this name.
    fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        match &self.host {
            Host::Any => true,
            Host::Name(name) => host.eq_ignore_ascii_case(name),
            Host::Below(name) => {
                let split = host.len().checked_sub(name.len());
                split.and_then(|at| at.checked_sub(1)).is_some_and(|dot| {
                    host.as_bytes().get(dot) == Some(&b'.')
                        && host.get(dot + 1..).is_some_and(|end| end.eq_ignore_ascii_case(name))
                })
            }
            Host::Network(..) => false,
        }
    }

    /// Whether the rule is about this address, without any name.
    fn covers(&self, address: IpAddr) -> bool {
        match self.host {
            Host::Any => is_public(address),
            Host::Network(network, length) => {
                let exact = network == address && length == bits(network);
                exact || (!METADATA.contains(&address) && contains(network, length, address))
            }
            Host::Name(_) | Host::Below(_) => false,
        }
    }

    /// Whether the rule's name can only mean the private network.
    fn is_private(&self) -> bool {
        let (Host::Name(name) | Host::Below(name)) = &self.host else { return false };
        let name = name.to_ascii_lowercase();
        !name.contains('.') && matches!(self.host, Host::Name(_))
            || PRIVATE_ENDINGS
                .iter()
                .any(|end| name == *end || name.strip_suffix(end).is_some_and(|n| n.ends_with('.')))
            || name.ends_with(".svc.cluster.local")
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if !scheme.is_empty() => (Some(scheme.to_ascii_lowercase()), rest),
            Some(_) => return Err(format!("`{text}` has an empty scheme")),
            None => (None, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Some((network, length)) = rest.split_once('/') {
            let network: IpAddr = network.parse().ok().ok_or_else(|| complain(text))?;
            let length = length.parse().ok().filter(|length| *length <= bits(network));
            let host = Host::Network(network, length.ok_or_else(|| complain(text))?);
            return Ok(Self { scheme, host, port: None });
        }
        let (host, port) = split_port(rest).ok_or_else(|| complain(text))?;
        let port = port.or(match scheme.as_deref() {
            Some("http") => Some(80),
            Some("https") => Some(443),
            _ => None,
        });
        let host = match (literal(host), host.strip_prefix("*.")) {
            (Some(address), _) => Host::Network(address, bits(address)),
            (None, Some(below)) => Host::Below(name(below).ok_or_else(|| complain(text))?),
            (None, None) if host == "*" => Host::Any,
            (None, None) => Host::Name(name(host).ok_or_else(|| complain(text))?),
        };
        Ok(Self { scheme, host, port })
    }
}

fn complain(text: &str) -> String {
    format!(
        "`{text}` is no egress rule; write for example \"https://api.example.com\", \
         \"*.internal:8080\" or \"10.0.0.0/8\""
    )
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}://")?;
        }
        match &self.host {
            Host::Any => f.write_str("*")?,
            Host::Name(name) => f.write_str(name)?,
            Host::Below(name) => write!(f, "*.{name}")?,
            Host::Network(IpAddr::V6(address), 128) => write!(f, "[{address}]")?,
            Host::Network(address, length) if *length == bits(*address) => write!(f, "{address}")?,
            Host::Network(address, length) => write!(f, "{address}/{length}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, a bare v6 address; port `*` is any.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, "*")) => (host, None),
        Some((host, port)) if !host.ends_with(':') && !port.contains(']') => {
            (host, Some(port.parse().ok()?))
        }
        _ => (text, None),
    };
    (!host.is_empty()).then_some((host, port))
}

fn name(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.');
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!text.is_empty() && text.chars().all(good) && !text.contains("..") && !text.starts_with('.'))
        .then(|| text.to_ascii_lowercase())
}

/// An address written out, with or without the brackets of a URL.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok().map(canonical)
}

/// An IPv4 address in IPv6 clothes is the IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.segments() {
            // 64:ff9b::/96, the well-known prefix of NAT64 (RFC 6052).
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
            }
            _ => v6.to_canonical(),
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn contains(network: IpAddr, length: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            u32::from(network) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            u128::from(network) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

/// Loopback and the ranges that organisations number themselves (RFC 1918, 4193, 6598).
fn is_private(address: IpAddr) -> bool {
    if METADATA.contains(&address) {
        return false;
    }
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// An address that the whole internet reaches: in no block of the special-purpose registries.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(is_private(address)
                || METADATA.contains(&address)
                || v4.is_unspecified()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a, b, c) == (192, 0, 0)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            // Global unicast is 2000::/3; inside it lie documentation, 6to4 and Teredo.
            a & 0xe000 == 0x2000 && !(a == 0x2001 && (b == 0 || b == 0xdb8)) && a != 0x2002
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(rules: &[&str]) -> Egress {
        Egress::new(rules.iter().map(|rule| rule.parse().unwrap()))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_is_allowed_without_rules() {
        let none = egress(&[]);
        assert!(!none.allows_name(Some("https"), "example.com", Some(443)));
        assert!(!none.allows_address(Some("https"), Some("example.com"), ip("8.8.8.8"), 443));
    }

    #[test]
    fn a_name_opens_its_public_addresses_and_its_port() {
        let rules = egress(&["https://api.example.com"]);
        assert!(rules.allows_name(Some("https"), "API.example.com.", Some(443)));
        assert!(!rules.allows_name(Some("http"), "api.example.com", Some(80)));
        assert!(!rules.allows_name(Some("https"), "api.example.com", Some(8443)));
        assert!(!rules.allows_name(None, "api.example.com", Some(443)));
        assert!(!rules.allows_name(Some("https"), "evil.com", Some(443)));
        assert!(rules.allows_address(Some("https"), Some("api.example.com"), ip("8.8.8.8"), 443));
    }

    #[test]
    fn rebinding_to_the_private_network_is_refused() {
        let rules = egress(&["*", "api.example.com", "*.example.org"]);
        for private in
            ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"]
        {
            for host in ["api.example.com", "x.example.org", "other.net"] {
                assert!(!rules.allows_address(None, Some(host), ip(private), 80), "{host}");
            }
        }
        for odd in ["0.0.0.0", "64:ff9b::a00:1", "2002:a00:1::", "224.0.0.1", "255.255.255.255"] {
            assert!(!rules.allows_address(None, Some("api.example.com"), ip(odd), 80), "{odd}");
        }
    }

    #[test]
    fn private_networks_open_where_they_are_named() {
        let rules = egress(&["*.internal:8080", "localhost", "10.0.0.0/8", "[::1]:9"]);
        assert!(rules.allows_address(None, Some("db.internal"), ip("192.168.1.1"), 8080));
        assert!(!rules.allows_address(None, Some("db.internal"), ip("192.168.1.1"), 81));
        assert!(rules.allows_address(None, Some("localhost"), ip("127.0.0.1"), 1));
        assert!(rules.allows_address(None, None, ip("10.9.9.9"), 1));
        assert!(rules.allows_name(None, "10.9.9.9", Some(1)));
        assert!(rules.allows_name(None, "[::1]", Some(9)));
        assert!(!rules.allows_name(None, "internal", Some(8080)));
        assert!(!rules.allows_address(None, Some("db.internal"), ip("169.254.169.254"), 8080));
    }

    #[test]
    fn the_metadata_address_opens_only_by_its_exact_name() {
        let ip = ip("169.254.169.254");
        assert!(!egress(&["169.254.0.0/16"]).allows_address(None, None, ip, 80));
        assert!(egress(&["169.254.169.254"]).allows_address(None, None, ip, 80));
    }

    #[test]
    fn rules_read_back_as_written() {
        for rule in ["https://a.example:444", "*.b.c:80", "*", "10.0.0.0/8", "[::1]:9", "1.2.3.4"] {
            assert_eq!(rule.parse::<Rule>().unwrap().to_string(), rule);
        }
        for bad in ["", "://x", "a b", "10.0.0.0/33", "x:99999", "*.", "a..b", "http://"] {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }
}
