//! `[http]` and `[[http.route]]`: where the server listens, and who answers.

use crate::component::file;
use crate::filter;
use crate::keys::{HTTP, HTTP2, TLS};
use crate::notes::Placed;
use crate::plan::{Http, Http2, Listen, Route, Target, Tls};
use crate::route::routes;
use crate::section::Section;
use crate::source::At;
use base::Mistake;
use base::egress::Rule;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Where an app listens that does not say so.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);

/// Reads the server, if the file has one. `addresses` of the command line replace the file's.
pub(crate) fn read(
    root: &Section<'_>,
    addresses: &[SocketAddr],
    components: &[&str],
    upstreams: &[&str],
    filters: &[&str],
) -> Option<Http> {
    let http = root.table("http", &HTTP)?;
    let listen = listen(&http);
    let listen = if addresses.is_empty() { listen } else { from_command_line(addresses) };
    let admin = http.parsed("admin", "an address", address);
    let admin = admin.map(|address| Listen { address, at: Some(http.at_key("admin")) });
    if let Some(admin) = &admin
        && listen.iter().any(|listen| same(listen.address, admin.address))
    {
        let span = http.at_key("admin").span;
        let mistake = Mistake::at(span, "this address is served to the public")
            .with_hint("the admin address is another one");
        http.mistake(mistake);
    }
    Some(Http {
        listen,
        tls: http.table("tls", &TLS).and_then(|tls| read_tls(&tls)),
        admin,
        routes: routes(&http, components, upstreams, filters),
        filters: filter::uses(&http, filters),
        shutdown_grace: http.duration("shutdown-grace", Duration::ZERO..=*TIMES.end()),
        header_timeout: http.duration("header-timeout", TIMES),
        write_timeout: http.duration("write-timeout", TIMES),
        max_header_size: http.size("max-header-size", 1 << 10..=16 << 20),
        max_headers: http.number("max-headers", 1..=10_000),
        max_connections: http.number("max-connections", 1..=10_000_000),
        http2: http.table("http2", &HTTP2).map(|http2| read_http2(&http2)).unwrap_or_default(),
        threads: http.number("threads", 1..=1024),
        access_log: http.flag("access-log"),
        forwarded: forwarded(&http),
    })
}

impl Http {
    /// The server of an app without a file: everything goes to its one component.
    pub(crate) fn bare(component: &str, addresses: &[SocketAddr]) -> Self {
        let addresses = if addresses.is_empty() { &[LISTEN] } else { addresses };
        let path = "/".to_owned();
        let target = Target::Component(component.to_owned());
        let route = Route { host: None, path, target, filters: Vec::new(), at: None };
        Self { listen: from_command_line(addresses), routes: vec![route], ..Self::default() }
    }
}

/// Addresses that nobody wrote into a file.
fn from_command_line(addresses: &[SocketAddr]) -> Vec<Listen> {
    addresses.iter().map(|address| Listen { address: *address, at: None }).collect()
}

fn listen(http: &Section<'_>) -> Vec<Listen> {
    let Some(read) = http.each("listen", "an address", address) else {
        return vec![Listen { address: LISTEN, at: None }];
    };
    not_empty(http, "listen = [\"127.0.0.1:8080\"]");
    once(http, read, &mut Vec::new())
}

/// Reports a `listen` without addresses.
pub(crate) fn not_empty(section: &Section<'_>, example: &str) {
    let listen = section.value("listen").and_then(|value| value.get_ref().as_array());
    if listen.is_some_and(|addresses| addresses.is_empty()) {
        section.missing("`listen` is empty".to_owned(), example);
    }
}

/// The addresses that nobody has taken yet, which are taken then; the others are reported.
pub(crate) fn once(
    section: &Section<'_>,
    read: Vec<Placed<SocketAddr>>,
    taken: &mut Vec<Listen>,
) -> Vec<Listen> {
    let mut listen = Vec::new();
    for Placed { value: address, at } in read {
        match taken.iter().find(|other| same(other.address, address)) {
            None => {
                let own = Listen { address, at: Some(at) };
                taken.push(own.clone());
                listen.push(own);
            }
            Some(first) => twice(section, at, first),
        }
    }
    listen
}

fn twice(section: &Section<'_>, at: At, first: &Listen) {
    let mistake = Mistake::at(at.span.clone(), "this address is listened on twice");
    match &first.at {
        Some(first) => {
            section.reader.notes.contradiction(at, first.clone(), "here already", mistake);
        }
        None => {
            let address = first.address;
            section.mistake(mistake.with_hint(format!("HTTP is served on {address}")));
        }
    }
}

/// Port 0 is another free port each time.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    a == b && a.port() != 0
}

/// Reads an address with its port. Names are not looked up: a server listens where it is told.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let near = match text.rsplit_once(':') {
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        Some(("" | "*", port)) => format!("0.0.0.0:{port}"),
        _ => match (text.parse::<u16>(), text.parse::<IpAddr>()) {
            (Ok(port), _) => format!("127.0.0.1:{port}"),
            (_, Ok(address)) => SocketAddr::new(address, 8080).to_string(),
            _ => String::new(),
        },
    };
    let near = if near.parse::<SocketAddr>().is_ok() { near } else { LISTEN.to_string() };
    Err(format!("`{text}` is no address with a port; write for example \"{near}\""))
}

pub(crate) fn read_tls(tls: &Section<'_>) -> Option<Tls> {
    for key in ["cert", "key"].into_iter().filter(|key| !tls.has(key)) {
        tls.missing(
            format!("`tls` needs `{key}`"),
            "tls = { cert = \"cert.pem\", key = \"key.pem\" }",
        );
    }
    let (cert, key) = (file(tls, "cert"), file(tls, "key"));
    Some(Tls { cert: cert?, key: key?, at: tls.at() })
}

fn read_http2(http2: &Section<'_>) -> Http2 {
    Http2 { max_streams: http2.number("max-streams", 1..=1_000_000) }
}

fn forwarded(http: &Section<'_>) -> Vec<Rule> {
    let networks = http.each("forwarded", "a network", network).unwrap_or_default();
    networks.into_iter().map(|network| network.value).collect()
}

/// A rule of addresses alone: who may speak for others is not a matter of names.
fn network(text: &str) -> Result<Rule, String> {
    let (address, _) = text.split_once('/').unwrap_or((text, ""));
    let rule = address.parse::<IpAddr>().ok().and_then(|_| text.parse().ok());
    rule.ok_or_else(|| format!("`{text}` is no network; write for example \"10.0.0.0/8\""))
}

pub(crate) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("a path begins with `/`; write \"/{text}\""));
    }
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '*');
    if let Some(bad) = text.chars().find(|c| bad(*c)) {
        return Err(format!("a path is the beginning of what is served and has no `{bad}`"));
    }
    if text.split('/').any(|part| matches!(part, "." | "..")) {
        return Err("a path has no `.` and no `..`".to_owned());
    }
    Ok(text.to_owned())
}

pub(crate) fn host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let good =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '[' | ']' | ':');
    let address = name.starts_with('[') && name.ends_with(']');
    if name.is_empty() || !name.chars().all(good) || (name.contains(':') && !address) {
        return Err(format!(
            "`{text}` is no host; write it without scheme and port, for example \"example.com\""
        ));
    }
    Ok(text.to_ascii_lowercase())
}
