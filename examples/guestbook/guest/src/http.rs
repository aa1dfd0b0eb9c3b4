//! Requests in, replies out: the few things about `wasi:http` that the rest need not know.
use crate::Failure;
use std::io::{Read, Write};
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// An answer before it is sent.
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
}

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// What the page may load and do: its own style and icon, its own form, nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

impl Reply {
    /// A page, made anew for each visitor.
    pub fn html(status: u16, page: String) -> Self {
        let headers = vec![("content-type", HTML), ("cache-control", "no-store")];
        Self { status, headers, body: page.into_bytes() }
    }

    /// A sentence.
    pub fn text(status: u16, sentence: &str) -> Self {
        let body = format!("{sentence}\n").into_bytes();
        Self { status, headers: vec![("content-type", TEXT)], body }
    }

    /// A file that changes only with the component.
    pub fn file(kind: &'static str, content: &str) -> Self {
        let headers = vec![("content-type", kind), ("cache-control", "max-age=3600")];
        Self { status: 200, headers, body: content.into() }
    }

    /// Go and see there.
    pub fn see_other(place: &'static str) -> Self {
        Self { status: 303, headers: vec![("location", place)], body: Vec::new() }
    }

    /// The path is right, the method is not.
    pub fn not_allowed(methods: &'static str) -> Self {
        let mut reply = Self::text(405, &format!("Only {methods} works here."));
        reply.headers.push(("allow", methods));
        reply
    }

    /// Sends it. A client that went away meanwhile is no failure.
    pub fn send(self, out: ResponseOutparam) {
        let headers = Fields::new();
        let common = [
            ("content-security-policy", POLICY),
            ("referrer-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
        ];
        for (name, value) in self.headers.into_iter().chain(common) {
            headers.append(name, value.as_bytes()).expect("every name and value is well-formed");
        }
        let response = OutgoingResponse::new(headers);
        response.set_status_code(self.status).expect("every status has three digits");
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let mut stream = body.write().expect("the stream is taken once");
        let written = stream.write_all(&self.body);
        drop(stream);
        if written.is_ok() {
            // Fails only where the client went away.
            _ = OutgoingBody::finish(body, None);
        }
    }
}

/// Whether a browser says that another site made it send this.
pub fn is_cross_site(request: &IncomingRequest) -> bool {
    header(request, "sec-fetch-site").is_some_and(|site| site == "cross-site")
}

/// Whether the body is said to be a form.
pub fn is_form(request: &IncomingRequest) -> bool {
    let kind = header(request, "content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The whole body, or `None` where it is longer than `longest` bytes.
pub fn body(request: IncomingRequest, longest: u64) -> Result<Option<Vec<u8>>, Failure> {
    let mut whole = Vec::new();
    let incoming = request.consume().expect("the body is taken once");
    let stream = incoming.stream().expect("the stream is taken once");
    // One byte more than allowed tells that there are too many; what follows is never read.
    let read = stream.take(longest + 1).read_to_end(&mut whole);
    read.map_err(|error| format!("reading the request: {error}"))?;
    Ok((whole.len() as u64 <= longest).then_some(whole))
}

fn header(request: &IncomingRequest, name: &str) -> Option<String> {
    let value = request.headers().get(name).into_iter().next()?;
    String::from_utf8(value).ok()
}
