//! Redirects that lead to the same upstream, for those who do not want their clients to see them.

use super::settings::Place;
use http_types::header::LOCATION;
use http_types::uri::{Authority, PathAndQuery, Scheme};
use http_types::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

/// Where a redirect leads, as the next request says it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    /// Whether the body goes along.
    pub(crate) body: bool,
}

/// What a redirect was the answer to.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a PathAndQuery,
    /// The host that the client asked for, and whether over TLS.
    pub(crate) host: &'a HeaderValue,
    pub(crate) https: bool,
    /// Where the upstream's servers are.
    pub(crate) places: &'a [Place],
}

impl Asked<'_> {
    /// The next request, if the answer is a redirect that stays within the upstream. All others
    /// are the client's to follow: the operator named these servers and no further ones.
    pub(crate) fn next(&self, status: StatusCode, fields: &HeaderMap) -> Option<Next> {
        let (method, body) = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if self.method == Method::POST => {
                (Method::GET, false)
            }
            StatusCode::SEE_OTHER if self.method != Method::HEAD => (Method::GET, false),
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => (self.method.clone(), true),
            _ => return None,
        };
        let path = self.lead(fields.get(LOCATION)?.to_str().ok()?)?;
        Some(Next { method, path, body })
    }

    /// The path that a location means.
    fn lead(&self, location: &str) -> Option<PathAndQuery> {
        let location = location.split('#').next().unwrap_or_default();
        let path = if location.contains("://") || location.starts_with("//") {
            let whole = match location.strip_prefix("//") {
                Some(rest) => format!("{}://{rest}", if self.https { "https" } else { "http" }),
                None => location.to_owned(),
            };
            let uri: Uri = whole.parse().ok()?;
            let https = uri.scheme() == Some(&Scheme::HTTPS);
            self.is_ours(uri.authority()?, https).then_some(())?;
            uri.path_and_query()?.clone()
        } else if location.starts_with('/') {
            location.parse().ok()?
        } else if location.starts_with('?') {
            format!("{}{location}", self.path.path()).parse().ok()?
        } else {
            let (folder, _) = self.path.path().rsplit_once('/')?;
            format!("{folder}/{location}").parse().ok()?
        };
        // Where these lead is for those to say who know what the path means.
        let turns = path.path().split('/').any(|part| matches!(part, "." | ".."));
        (!turns).then_some(path)
    }

    fn is_ours(&self, authority: &Authority, https: bool) -> bool {
        let named = authority.as_str().as_bytes();
        if named.eq_ignore_ascii_case(self.host.as_bytes()) {
            return https == self.https;
        }
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let host = authority.host().trim_matches(['[', ']']);
        let is = |place: &Place| {
            place.https == https && place.port == port && place.host.eq_ignore_ascii_case(host)
        };
        self.places.iter().any(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(method: Method, status: u16, location: &'static str) -> Option<(Method, String, bool)> {
        let places = [Place { https: false, host: "10.0.0.1".to_owned(), port: 9000 }];
        let path = PathAndQuery::from_static("/a/b?c=d");
        let host = HeaderValue::from_static("Example.com");
        let asked =
            Asked { method: &method, path: &path, host: &host, https: true, places: &places };
        let mut fields = HeaderMap::new();
        fields.insert(LOCATION, HeaderValue::from_static(location));
        let next = asked.next(StatusCode::from_u16(status).unwrap(), &fields)?;
        Some((next.method, next.path.to_string(), next.body))
    }

    #[test]
    fn locations_within_the_upstream_are_followed() {
        for (location, path) in [
            ("/x?y=z", "/x?y=z"),
            ("x#part", "/a/x"),
            ("?e=f", "/a/b?e=f"),
            ("https://example.com/x", "/x"),
            ("//example.com/x", "/x"),
            ("http://10.0.0.1:9000/x", "/x"),
        ] {
            let led = lead(Method::GET, 302, location);
            assert_eq!(led, Some((Method::GET, path.to_owned(), true)), "{location}");
        }
    }

    #[test]
    fn locations_elsewhere_are_the_clients() {
        for location in [
            "https://other.com/",
            "http://example.com/",
            "http://10.0.0.1/",
            "http://10.0.0.1:9000@other.com/",
            "//other.com/",
            "../x",
            "/a/../../x",
        ] {
            assert_eq!(lead(Method::GET, 302, location), None, "{location}");
        }
        assert_eq!(lead(Method::GET, 304, "/x"), None);
        assert_eq!(lead(Method::GET, 200, "/x"), None);
    }

    #[test]
    fn methods_change_as_the_status_says() {
        let method = |method: Method, status| {
            let (method, _, body) = lead(method, status, "/x").unwrap();
            (method, body)
        };
        assert_eq!(method(Method::POST, 301), (Method::GET, false));
        assert_eq!(method(Method::POST, 303), (Method::GET, false));
        assert_eq!(method(Method::PUT, 302), (Method::PUT, true));
        assert_eq!(method(Method::PUT, 303), (Method::GET, false));
        assert_eq!(method(Method::POST, 307), (Method::POST, true));
        assert_eq!(method(Method::POST, 308), (Method::POST, true));
        assert_eq!(method(Method::HEAD, 303), (Method::HEAD, true));
    }
}
