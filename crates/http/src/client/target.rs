//! Where a request goes, and how its head is written for the version of HTTP spoken there.

use super::upload::Upload;
use super::{Error, Options};
use http_types::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http_types::uri::{Authority, PathAndQuery, Scheme};
use http_types::{HeaderMap, Method, Request, Uri, Version};

/// Which version of HTTP to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Over TLS what ALPN says, HTTP/2 preferred; in the clear HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only; in the clear with prior knowledge, as gRPC does.
    Http2,
}

/// What connections are pooled by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) https: bool,
    /// Lower case, an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
}

impl Key {
    pub(super) fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

/// Where a request goes.
pub(super) struct Target {
    pub(super) key: Key,
    /// Whether another protocol is asked for.
    pub(super) upgrade: bool,
    host: HeaderValue,
    authority: Authority,
    path: PathAndQuery,
}

/// Headers that speak of one connection, not of the message; ours to set.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Headers that speak of the message whatever `connection` says: without them it would be another.
const ALWAYS_KEPT: [HeaderName; 3] = [HOST, CONTENT_LENGTH, TE];

/// Removes the headers that speak of one connection: those that always do, and those that
/// `connection` names (RFC 9110, section 7.6.1).
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let fields = headers.get_all(CONNECTION).iter().filter_map(|field| field.to_str().ok());
        let names = fields.flat_map(|field| field.split(','));
        let names: Vec<HeaderName> = names.filter_map(|name| name.trim().parse().ok()).collect();
        for name in names.iter().filter(|name| !ALWAYS_KEPT.contains(name)) {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Whether a request waits until its body is asked for.
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(EXPECT)
        .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

impl Target {
    /// Reads the target out of a request, and cleans the request's headers.
    pub(super) fn read<B>(request: &mut Request<B>, options: &Options) -> Result<Self, Error> {
        // A tunnel would carry what nobody looks at.
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let uri = std::mem::take(request.uri_mut()).into_parts();
        let authority = uri.authority.ok_or(Error::HttpRequestUriInvalid)?;
        let https = match uri.scheme {
            Some(scheme) if scheme == Scheme::HTTPS => true,
            Some(scheme) if scheme == Scheme::HTTP => false,
            _ => return Err(Error::HttpRequestUriInvalid),
        };
        // RFC 9110, section 4.2.4: no user information in the URI of a request.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(Error::HttpRequestUriInvalid);
        }
        let given = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = match (given, authority.port_u16()) {
            (_, Some(port)) if port > 0 => port,
            ("", None) if https => 443,
            ("", None) => 80,
            // An empty port, or one that no u16 holds.
            _ => return Err(Error::HttpRequestUriInvalid),
        };
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // HTTP/2 has no upgrades.
        let protocol = if options.upgrade { Protocol::Http1 } else { options.protocol };
        let key = Key { https, host: host.to_ascii_lowercase(), port, protocol };
        let host = HeaderValue::from_str(authority.as_str());
        let host = host.map_err(|_invalid| Error::HttpRequestUriInvalid)?;
        let path = uri.path_and_query.filter(|path| !path.as_str().is_empty());
        let upgrade = request.headers_mut().remove(UPGRADE).filter(|_| options.upgrade);
        strip_hop_by_hop(request.headers_mut());
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let asked = upgrade.is_some();
        if let Some(upgrade) = upgrade {
            request.headers_mut().insert(UPGRADE, upgrade);
        }
        Ok(Self { key, upgrade: asked, host, authority, path })
    }

    /// Writes the head for `version`, whatever it was written for before.
    pub(super) fn dress(&self, request: &mut Request<Upload>, version: Version) {
        *request.version_mut() = version;
        if version == Version::HTTP_2 {
            request.headers_mut().remove(HOST);
            request.headers_mut().remove(CONNECTION);
            let scheme = if self.key.https { Scheme::HTTPS } else { Scheme::HTTP };
            let uri = Uri::builder().scheme(scheme).authority(self.authority.clone());
            // All three parts are there and came out of a URI, so this is one.
            *request.uri_mut() = uri.path_and_query(self.path.clone()).build().unwrap_or_default();
        } else {
            request.headers_mut().insert(HOST, self.host.clone());
            // RFC 9110, sections 7.8 and 10.1.4: who sends them says so in Connection.
            let named = match (self.upgrade, request.headers().contains_key(TE)) {
                (true, true) => Some("upgrade, te"),
                (true, false) => Some("upgrade"),
                (false, true) => Some("te"),
                (false, false) => None,
            };
            if let Some(named) = named {
                request.headers_mut().insert(CONNECTION, HeaderValue::from_static(named));
            }
            *request.uri_mut() = Uri::from(self.path.clone());
        }
    }
}

/// The size of a header section as RFC 9113, section 6.5.2 counts it.
pub(super) fn section_size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// The length that a request declares.
///
/// # Errors
/// More lengths than one, or one that is no number: two readers could read it differently.
pub(super) fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    let digits = length.as_bytes().iter().all(u8::is_ascii_digit) && lengths.next().is_none();
    let length = length.to_str().ok().filter(|_| digits).and_then(|length| length.parse().ok());
    length.map(Some).ok_or(Error::HttpRequestBodySize(None))
}
