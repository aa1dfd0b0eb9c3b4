//! `[upstream.NAME]`: servers that routes and listeners may lead to.

use crate::component::file;
use crate::http::host;
use crate::keys::{EJECTION, HEALTH, Keys, RETRIES, UPSTREAM, UPSTREAM_LIMITS, UPSTREAM_TLS};
use crate::notes::Placed;
use crate::section::Section;
use crate::source::At;
use base::Mistake;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
const MANY: u64 = 10_000_000;

/// Servers that answer alike. The gateway has a default for what is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Where it stands in the file.
    pub at: At,
    /// Where its servers are: at least one.
    pub endpoints: Vec<Endpoint>,
    /// Which of them is asked.
    pub balance: Balance,
    /// The host that they are asked for.
    pub host: Option<String>,
    /// Whether HTTP/2 is spoken, and nothing else.
    pub http2: Option<bool>,
    /// How TLS is spoken.
    pub tls: Identity,
    /// How long a connection may take to be made.
    pub connect_timeout: Option<Duration>,
    /// How long a request may take.
    pub request_timeout: Option<Duration>,
    /// How long a server may say nothing.
    pub idle_timeout: Option<Duration>,
    /// How long nothing may pass through a tunnel.
    pub tunnel_timeout: Option<Duration>,
    /// How often names are looked up.
    pub resolve_every: Option<Duration>,
    /// How much there may be at once.
    pub limits: UpstreamLimits,
    /// What is tried again.
    pub retries: Retries,
    /// When a server is left alone.
    pub ejection: Ejection,
    /// How servers are asked whether they are well.
    pub health: Option<Health>,
    /// How many redirects are followed.
    pub follow_redirects: Option<usize>,
}

/// Where one server is, or several behind one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether TLS is spoken there.
    pub https: bool,
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Which server is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Each in its turn.
    #[default]
    RoundRobin,
    /// The less busy of two.
    LeastRequest,
    /// The same for the same.
    RingHash(HashOn),
}

/// What decides in a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// The header field of this name, in lower case.
    Header(String),
    /// The path.
    Path,
    /// The client's address.
    Source,
}

/// Whom a server is trusted to be, and who asks. Files were there when the plan was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Where it stands in the file, if it does.
    pub at: Option<At>,
    /// The authorities that are trusted.
    pub ca: Option<PathBuf>,
    /// Certificate and private key, both or neither.
    pub own: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate bears.
    pub server_name: Option<String>,
}

/// How much there may be at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a key of the file, and the table of keys says what it is")]
pub struct UpstreamLimits {
    pub requests: Option<usize>,
    pub queue: Option<usize>,
    pub queue_timeout: Option<Duration>,
    pub connections: Option<usize>,
    pub idle_connections: Option<usize>,
    pub request_body: Option<u64>,
}

/// What is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a key of the file, and the table of keys says what it is")]
pub struct Retries {
    pub attempts: Option<usize>,
    pub statuses: Vec<u16>,
    pub budget: Option<usize>,
    pub backoff: Option<Duration>,
    pub max_backoff: Option<Duration>,
}

/// When a server is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a key of the file, and the table of keys says what it is")]
pub struct Ejection {
    pub failures: Option<u32>,
    pub time: Option<Duration>,
    pub max_time: Option<Duration>,
    pub max_percent: Option<usize>,
}

/// How a server is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a key of the file, and the table of keys says what it is")]
pub struct Health {
    pub path: Option<String>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub healthy: Option<u32>,
    pub unhealthy: Option<u32>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https://" } else { "" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin => f.write_str("round-robin"),
            Self::LeastRequest => f.write_str("least-request"),
            Self::RingHash(HashOn::Header(name)) => write!(f, "ring-hash on header:{name}"),
            Self::RingHash(HashOn::Path) => f.write_str("ring-hash on path"),
            Self::RingHash(HashOn::Source) => f.write_str("ring-hash on source"),
        }
    }
}

/// Reads every upstream, and the names of all, also of those that are wrong: what was reported
/// once is not missing.
pub(crate) fn read<'a>(root: &Section<'a>) -> (Vec<Upstream>, Vec<&'a str>) {
    let (tables, names) = root.named("upstream", "an upstream", &UPSTREAM, &[]);
    (tables.iter().map(|(name, section)| read_one(section, name)).collect(), names)
}

fn read_one(section: &Section<'_>, name: &Placed<&str>) -> Upstream {
    let endpoints = endpoints(section, name.value);
    let table = |key: &str, keys: &'static Keys| section.table(key, keys);
    Upstream {
        name: name.value.to_owned(),
        at: name.at.clone(),
        balance: balance(section),
        host: section.parsed("host", "a host", asked_for),
        http2: section.flag("http2"),
        tls: table("tls", &UPSTREAM_TLS).map(|tls| read_tls(&tls, &endpoints)).unwrap_or_default(),
        endpoints,
        connect_timeout: section.duration("connect-timeout", TIMES),
        request_timeout: section.duration("request-timeout", TIMES),
        idle_timeout: section.duration("idle-timeout", TIMES),
        tunnel_timeout: section.duration("tunnel-timeout", TIMES),
        resolve_every: section.duration("resolve-every", TIMES),
        limits: table("limits", &UPSTREAM_LIMITS)
            .map(|limits| read_limits(&limits))
            .unwrap_or_default(),
        retries: table("retries", &RETRIES).map(|it| read_retries(&it)).unwrap_or_default(),
        ejection: table("ejection", &EJECTION).map(|it| read_ejection(&it)).unwrap_or_default(),
        health: table("health", &HEALTH).and_then(|health| read_health(&health)),
        follow_redirects: section.number("follow-redirects", 0..=20),
    }
}

fn endpoints(section: &Section<'_>, name: &str) -> Vec<Endpoint> {
    let example = "endpoints = [\"127.0.0.1:9000\"]";
    if !section.has("endpoints") {
        section.missing(format!("upstream `{name}` has no endpoints"), example);
    }
    let Some(read) = section.each("endpoints", "an endpoint", endpoint) else { return Vec::new() };
    let none = section.value("endpoints").and_then(|value| value.get_ref().as_array());
    if none.is_some_and(|array| array.is_empty()) {
        section.missing("`endpoints` is empty".to_owned(), example);
    }
    let mut endpoints: Vec<Placed<Endpoint>> = Vec::new();
    for endpoint in read {
        let same = |other: &&Placed<Endpoint>| other.value == endpoint.value;
        match endpoints.iter().find(same).map(|first| first.at.clone()) {
            Some(first) => {
                let mistake = Mistake::at(endpoint.span(), "this endpoint stands here twice");
                let notes = section.reader.notes;
                notes.contradiction(endpoint.at, first, "here already", mistake);
            }
            None => endpoints.push(endpoint),
        }
    }
    endpoints.into_iter().map(|endpoint| endpoint.value).collect()
}

/// Reads `[http://|https://]HOST[:PORT]`; the port may be left out where a scheme says it.
fn endpoint(text: &str) -> Result<Endpoint, String> {
    let (https, port, rest) = match text.split_once("://") {
        None => (false, None, text),
        Some(("http", rest)) => (false, Some(80), rest),
        Some(("https", rest)) => (true, Some(443), rest),
        Some((scheme, _)) => {
            return Err(format!(
                "`{scheme}` is no scheme of an endpoint; there are http and https"
            ));
        }
    };
    let wrong = |near: &str| Err(format!("`{text}` is no endpoint; write for example \"{near}\""));
    let (host, given) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match rest.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let number = given.map(|given| given.parse::<u16>().ok().filter(|port| *port > 0));
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = !host.is_empty() && host.chars().all(good) && !host.starts_with(['-', '.']);
    let is_address =
        host.parse::<IpAddr>().is_ok() && (rest.starts_with('[') == host.contains(':'));
    if !is_name && !is_address {
        return wrong("127.0.0.1:9000");
    }
    match number.map_or(port, |given| given) {
        Some(port) => Ok(Endpoint { https, host: host.to_ascii_lowercase(), port }),
        None if given.is_none() => wrong(&format!("{rest}:80")),
        None => wrong("127.0.0.1:9000"),
    }
}

fn balance(section: &Section<'_>) -> Balance {
    const WORDS: [&str; 3] = ["round-robin", "least-request", "ring-hash"];
    let words = WORDS.map(|word| (word, word));
    let word = section.choice("balance", &words);
    let on = section.parsed("hash-on", "what a ring hashes", hash_on);
    match (word, on) {
        (Some("ring-hash"), Some(on)) => return Balance::RingHash(on),
        (Some("ring-hash"), None) if !section.has("hash-on") => section.missing(
            "`ring-hash` needs `hash-on`".to_owned(),
            "hash-on = \"header:x-user\", \"path\" or \"source\"",
        ),
        (Some("ring-hash"), None) => {}
        (_, Some(_)) if word.is_some() || !section.has("balance") => {
            let mistake = Mistake::at(section.at_key("hash-on").span, "only a ring has a hash");
            section.mistake(mistake.with_hint("balance = \"ring-hash\""));
        }
        (Some("least-request"), _) => return Balance::LeastRequest,
        _ => {}
    }
    Balance::RoundRobin
}

fn hash_on(text: &str) -> Result<HashOn, String> {
    match text.split_once(':') {
        None if text == "path" => Ok(HashOn::Path),
        None if text == "source" => Ok(HashOn::Source),
        Some(("header", name)) if !name.is_empty() && name.chars().all(is_of_field_name) => {
            Ok(HashOn::Header(name.to_ascii_lowercase()))
        }
        _ => Err(format!(
            "`{text}` is nothing to hash; write \"header:NAME\", \"path\" or \"source\""
        )),
    }
}

/// Whether the name of a header field may have this letter (RFC 9110, section 5.6.2).
fn is_of_field_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// A host, with a port if it has one.
fn asked_for(text: &str) -> Result<String, String> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !text.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let good_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    match host(name) {
        Ok(_) if good_port && !name.starts_with('*') => Ok(text.to_ascii_lowercase()),
        _ => Err(format!("`{text}` is no host; write for example \"example.com\"")),
    }
}

fn read_tls(tls: &Section<'_>, endpoints: &[Endpoint]) -> Identity {
    if !endpoints.is_empty() && !endpoints.iter().any(|endpoint| endpoint.https) {
        let message = "no endpoint is asked over TLS";
        let mistake = Mistake::at(tls.at().span, message);
        tls.mistake(mistake.with_hint("write \"https://\" before it"));
    }
    for (key, other) in [("certificate", "key"), ("key", "certificate")] {
        if tls.has(key) && !tls.has(other) {
            let message = format!("`{key}` needs `{other}`");
            tls.missing(message, "certificate = \"client.pem\", key = \"client.key\"");
        }
    }
    let name = tls.parsed("server-name", "a name", |text| {
        let address = text.parse::<IpAddr>().is_ok();
        match host(text) {
            Ok(name) if !text.contains([':', '*', '[']) => Ok(name),
            _ if address => Ok(text.to_owned()),
            _ => Err(format!("`{text}` is no name; write for example \"example.com\"")),
        }
    });
    let (certificate, key) = (file(tls, "certificate"), file(tls, "key"));
    Identity {
        at: Some(tls.at()),
        ca: file(tls, "ca"),
        own: certificate.zip(key),
        server_name: name,
    }
}

fn read_limits(limits: &Section<'_>) -> UpstreamLimits {
    UpstreamLimits {
        requests: limits.number("requests", 1..=MANY),
        queue: limits.number("queue", 0..=MANY),
        queue_timeout: limits.duration("queue-timeout", Duration::ZERO..=*TIMES.end()),
        connections: limits.number("connections", 1..=MANY),
        idle_connections: limits.number("idle-connections", 0..=MANY),
        request_body: limits.size("request-body", 0..=1 << 50),
    }
}

fn read_retries(retries: &Section<'_>) -> Retries {
    Retries {
        attempts: retries.number("attempts", 0..=10),
        statuses: retries.numbers("statuses", 502..=504).unwrap_or_default(),
        budget: retries.number("budget", 0..=100),
        backoff: retries.duration("backoff", TIMES),
        max_backoff: retries.duration("max-backoff", TIMES),
    }
}

fn read_ejection(ejection: &Section<'_>) -> Ejection {
    Ejection {
        failures: ejection.number("failures", 0..=1_000_000),
        time: ejection.duration("time", TIMES),
        max_time: ejection.duration("max-time", TIMES),
        max_percent: ejection.number("max-percent", 0..=100),
    }
}

fn read_health(health: &Section<'_>) -> Option<Health> {
    let path = health.parsed("path", "a path", |text| {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '#' || !c.is_ascii();
        match text.starts_with('/') && !text.contains(bad) {
            true => Ok(text.to_owned()),
            false => Err(format!("`{text}` is no path; write for example \"/healthz\"")),
        }
    });
    let is_wrong = path.is_some() != health.has("path");
    let found = Health {
        path,
        interval: health.duration("interval", Duration::from_millis(10)..=*TIMES.end()),
        timeout: health.duration("timeout", TIMES),
        healthy: health.number("healthy", 1..=1000),
        unhealthy: health.number("unhealthy", 1..=1000),
    };
    (!is_wrong).then_some(found)
}
