//! `[tcp.NAME]`: addresses whose connections go to an upstream as they are, through filters.

use crate::filter::{self, FilterUse};
use crate::http::{address, not_empty, once, read_tls};
use crate::keys::{TCP, TLS};
use crate::notes::Placed;
use crate::plan::{Http, Listen, Tls};
use crate::section::Section;
use crate::source::At;
use std::ops::RangeInclusive;
use std::time::Duration;

const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24 * 365);

/// A listener for bare TCP. The gateway has a default for what is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tcp {
    /// Its name.
    pub name: String,
    /// Where it stands in the file.
    pub at: At,
    /// Where it listens: at least one address.
    pub listen: Vec<Listen>,
    /// Its certificate; bare TCP without.
    pub tls: Option<Tls>,
    /// The filters before the upstream.
    pub filters: Vec<FilterUse>,
    /// The upstream that connections lead to, which exists.
    pub upstream: String,
    /// How long nothing may pass through a connection.
    pub idle_timeout: Option<Duration>,
    /// Connections at once.
    pub max_connections: Option<usize>,
    /// Whether there is a line in the log for each connection.
    pub access_log: Option<bool>,
}

/// Reads every listener. No address is listened on twice, by HTTP neither.
pub(crate) fn read(
    root: &Section<'_>,
    http: Option<&Http>,
    upstreams: &[&str],
    filters: &[&str],
) -> Vec<Tcp> {
    let of_http = http.into_iter().flat_map(|http| http.listen.iter().chain(&http.admin));
    let mut taken: Vec<Listen> = of_http.cloned().collect();
    let (tables, _names) = root.named("tcp", "a listener", &TCP, &[]);
    let read = |(name, section): &(Placed<&str>, Section<'_>)| {
        read_one(section, name, &mut taken, upstreams, filters)
    };
    tables.iter().map(read).collect()
}

fn read_one(
    section: &Section<'_>,
    name: &Placed<&str>,
    taken: &mut Vec<Listen>,
    upstreams: &[&str],
    filters: &[&str],
) -> Tcp {
    if !section.has("upstream") {
        let message = format!("listener `{}` leads nowhere", name.value);
        section.missing(message, "upstream = \"NAME\"");
    }
    Tcp {
        name: name.value.to_owned(),
        at: name.at.clone(),
        listen: listen(section, name.value, taken),
        tls: section.table("tls", &TLS).and_then(|tls| read_tls(&tls)),
        filters: filter::uses(section, filters),
        upstream: section.name_of("upstream", "upstream", upstreams).unwrap_or_default(),
        idle_timeout: section.duration("idle-timeout", TIMES),
        max_connections: section.number("max-connections", 1..=10_000_000),
        access_log: section.flag("access-log"),
    }
}

fn listen(section: &Section<'_>, name: &str, taken: &mut Vec<Listen>) -> Vec<Listen> {
    let example = "listen = \"127.0.0.1:5432\"";
    if !section.has("listen") {
        section.missing(format!("listener `{name}` has no address"), example);
    }
    let Some(read) = section.each("listen", "an address", address) else { return Vec::new() };
    not_empty(section, example);
    once(section, read, taken)
}
