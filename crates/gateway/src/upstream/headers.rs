//! The header fields that a proxy takes out and puts in, both ways.

use http::client::strip_hop_by_hop;
use http_types::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE,
    COOKIE, EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http_types::request::Parts;
use http_types::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use hyper::upgrade::OnUpgrade;

/// Fields that speak of a body.
const OF_BODIES: [HeaderName; 6] =
    [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, EXPECT];

/// Whether the body of a request is coded in a way that we cannot hand on as it is.
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked =
        fields.next().is_none_or(|field| field.as_bytes().eq_ignore_ascii_case(b"chunked"));
    !chunked || fields.next().is_some()
}

/// The other protocol that a request asks for, if it is one that passes through.
///
/// Not `h2c`: behind it a client could ask for what no route leads to. Not with a body either,
/// whose end and the tunnel's beginning two servers could see in two places.
pub(crate) fn upgrade(request: &Parts, has_body: bool) -> Option<HeaderValue> {
    if request.version != Version::HTTP_11 || has_body || !is_named(&request.headers, "upgrade") {
        return None;
    }
    let mut fields = request.headers.get_all(UPGRADE).iter();
    let (field, further) = (fields.next()?, fields.next());
    let protocol = field.to_str().ok()?.trim().to_ascii_lowercase();
    let one = further.is_none() && !protocol.contains(',');
    let passes = one && !protocol.starts_with("h2c");
    (passes && request.extensions.get::<OnUpgrade>().is_some()).then(|| field.clone())
}

/// Whether `connection` names this.
fn is_named(headers: &HeaderMap, wanted: &str) -> bool {
    let fields = headers.get_all(CONNECTION).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(',')).any(|name| name.trim().eq_ignore_ascii_case(wanted))
}

/// Makes a client's fields those of a request to a server.
pub(crate) fn clean_request(headers: &mut HeaderMap, version: Version) {
    strip_hop_by_hop(headers);
    headers.remove(PROXY_AUTHORIZATION);
    // Of what it can be, only this says something that we hand on.
    let trailers = headers.get_all(TE).iter().filter_map(|field| field.to_str().ok());
    let trailers = trailers
        .flat_map(|field| field.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"));
    headers.remove(TE);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    join_cookies(headers, version);
    let protocol = match version {
        Version::HTTP_2 => "2 wharf",
        Version::HTTP_10 => "1.0 wharf",
        _ => "1.1 wharf",
    };
    let earlier = headers.get_all(VIA).iter().filter_map(|field| field.to_str().ok());
    let via = earlier.chain([protocol]).collect::<Vec<_>>().join(", ");
    headers.insert(VIA, HeaderValue::from_str(&via).unwrap_or(HeaderValue::from_static("wharf")));
}

/// HTTP/2 may send cookies in several fields, which HTTP/1.1 may not (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap, version: Version) {
    if version != Version::HTTP_2 || headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// Makes a server's fields those of an answer to our client.
pub(crate) fn clean_response(headers: &mut HeaderMap, status: StatusCode) {
    let upgrade = headers.get(UPGRADE).filter(|_| status == StatusCode::SWITCHING_PROTOCOLS);
    let upgrade = upgrade.cloned();
    // The coding decides how long a body is, and a length beside it is not believed (RFC 9112,
    // section 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    strip_hop_by_hop(headers);
    headers.remove(PROXY_AUTHENTICATE);
    if let Some(upgrade) = upgrade {
        headers.insert(UPGRADE, upgrade);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Removes what spoke of a body that is not sent any more.
pub(crate) fn remove_body(headers: &mut HeaderMap) {
    for name in &OF_BODIES {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_speaks_of_the_connection_stays_there() {
        let mut headers = map(&[
            ("connection", "close, X-Mine"),
            ("connection", "host, content-length"),
            ("x-mine", "1"),
            ("host", "h"),
            ("content-length", "3"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy-connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("te", "gzip, trailers;q=1"),
            ("trailer", "x-sum"),
            ("x-other", "2"),
        ]);
        clean_request(&mut headers, Version::HTTP_11);
        assert_eq!(names(&headers), ["content-length", "host", "trailer", "via", "x-other"]);
        let mut headers = map(&[("te", "gzip, Trailers"), ("via", "1.0 edge"), ("via", "2 b")]);
        clean_request(&mut headers, Version::HTTP_2);
        assert_eq!(headers.get(TE).unwrap(), "trailers");
        assert_eq!(headers.get(VIA).unwrap(), "1.0 edge, 2 b, 2 wharf");
    }

    #[test]
    fn cookies_come_in_one_field() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2")]);
        clean_request(&mut headers, Version::HTTP_2);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }

    #[test]
    fn a_length_beside_a_coding_is_not_believed() {
        let mut headers = map(&[
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("upgrade", "websocket"),
        ]);
        let mut tunnel = headers.clone();
        clean_response(&mut headers, StatusCode::OK);
        assert!(headers.is_empty(), "{headers:?}");
        clean_response(&mut tunnel, StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(names(&tunnel), ["connection", "upgrade"]);
    }

    #[test]
    fn codings_that_we_do_not_speak_are_seen() {
        assert!(!is_coded(&map(&[])) && !is_coded(&map(&[("transfer-encoding", "Chunked")])));
        assert!(is_coded(&map(&[("transfer-encoding", "gzip, chunked")])));
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert!(is_coded(&map(&twice)));
    }
}
