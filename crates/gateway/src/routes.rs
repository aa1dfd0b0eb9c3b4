//! Who answers which request: by host, then by the longest path prefix.

use crate::body::Outgoing;
use crate::filter::Filters;
use crate::upstream::{Mirror, Upstream};
use ::filter::Plugin;
use bytes::Bytes;
use http::incoming::Handler;
use http_types::header::CONTENT_TYPE;
use http_types::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use std::collections::HashMap;
use std::sync::Arc;

/// One line of the table.
#[derive(Clone)]
pub struct Route {
    /// `example.com`, `*.example.com`, or any host.
    pub host: Option<String>,
    /// A prefix in whole segments: `/api` is about `/api` and `/api/x`, not about `/apis`.
    pub path: String,
    /// Who answers.
    pub target: Target,
    /// The filters that stand before, in their order.
    pub filters: Filters,
}

/// Where a request goes.
pub(crate) struct Found {
    pub(crate) target: Target,
    pub(crate) filters: Filters,
}

/// Who answers.
#[derive(Clone)]
pub enum Target {
    /// A component.
    Component(Arc<Handler>),
    /// A server of an upstream.
    Upstream(Forward),
    /// An answer that needs nobody.
    Respond(Arc<Respond>),
}

/// An answer that needs nobody, whatever was asked.
pub struct Respond {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// What becomes of requests that go to an upstream.
#[derive(Clone)]
pub struct Forward {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Where copies of them go.
    pub mirror: Option<Mirror>,
}

impl Respond {
    /// An answer of a status, headers that are not about framing, and a body, which is plain text
    /// unless a header says otherwise. `None` if one of them cannot be sent.
    pub fn new<'a>(
        status: u16,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: impl Into<Bytes>,
    ) -> Option<Self> {
        let (mut fields, body) = (HeaderMap::new(), body.into());
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            fields.append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
        }
        if !body.is_empty() && !fields.contains_key(CONTENT_TYPE) {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            fields.insert(CONTENT_TYPE, text);
        }
        Some(Self { status: StatusCode::from_u16(status).ok()?, headers: fields, body })
    }

    pub(crate) fn response(&self) -> Response<Outgoing> {
        let mut response = Response::new(Outgoing::text(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

/// All routes, in the order in which they are looked at.
#[derive(Default)]
pub struct Routes {
    exact: HashMap<String, Vec<Route>>,
    below: Vec<(String, Vec<Route>)>,
    any: Vec<Route>,
}

impl Routes {
    /// A table of `routes`.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let mut table = Self::default();
        for route in routes {
            let host = route.host.as_deref().map(str::to_ascii_lowercase);
            match host {
                None => table.any.push(route),
                Some(host) => match host.strip_prefix("*.") {
                    None => table.exact.entry(host).or_default().push(route),
                    Some(below) => match table.below.iter_mut().find(|(known, _)| known == below) {
                        Some((_, routes)) => routes.push(route),
                        None => table.below.push((below.to_owned(), vec![route])),
                    },
                },
            }
        }
        let longest_first = |routes: &mut Vec<Route>| {
            routes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        };
        table.exact.values_mut().for_each(longest_first);
        table.below.iter_mut().for_each(|(_, routes)| longest_first(routes));
        table.below.sort_by_key(|(host, _)| std::cmp::Reverse(host.len()));
        longest_first(&mut table.any);
        table
    }

    /// Who answers a request for `path` at `host` (which may carry a port).
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<Found> {
        let mut found: Option<&Route> = None;
        if !self.exact.is_empty() || !self.below.is_empty() {
            let host = without_port(host).trim_end_matches('.').to_ascii_lowercase();
            found = self.exact.get(&host).and_then(|routes| among(routes, path));
            let mut below = self.below.iter();
            while found.is_none() {
                let Some((parent, routes)) = below.next() else { break };
                let is_below = host.strip_suffix(parent.as_str()).is_some_and(|h| h.ends_with('.'));
                found = is_below.then(|| among(routes, path)).flatten();
            }
        }
        let Route { target, filters, .. } = found.or_else(|| among(&self.any, path))?;
        Some(Found { target: target.clone(), filters: Arc::clone(filters) })
    }

    fn all(&self) -> impl Iterator<Item = &Route> {
        let exact = self.exact.values().flatten();
        let below = self.below.iter().flat_map(|(_, routes)| routes);
        exact.chain(below).chain(&self.any)
    }

    /// Every filter that stands before something, some of them more than once.
    pub(crate) fn filters(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.all().flat_map(|route| route.filters.iter())
    }

    /// Every handler that a route leads to, each once.
    pub fn handlers(&self) -> Vec<Arc<Handler>> {
        let mut handlers: Vec<Arc<Handler>> = Vec::new();
        for route in self.all() {
            let Target::Component(handler) = &route.target else { continue };
            if !handlers.iter().any(|known| Arc::ptr_eq(known, handler)) {
                handlers.push(Arc::clone(handler));
            }
        }
        handlers
    }
}

fn among<'a>(routes: &'a [Route], path: &str) -> Option<&'a Route> {
    routes.iter().find(|route| covers(&route.path, path))
}

/// Whether `prefix` is about `path`, in whole segments.
fn covers(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// The host without its port: `[::1]:80` is `[::1]`.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_whole_segments() {
        assert!(covers("/", "/anything") && covers("/api", "/api") && covers("/api", "/api/x"));
        assert!(!covers("/api", "/apis") && !covers("/api/", "/api") && covers("/api/", "/api/x"));
    }

    #[test]
    fn ports_are_no_part_of_a_host() {
        assert_eq!(without_port("a.b:80"), "a.b");
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
        assert_eq!(without_port("a.b"), "a.b");
    }
}
