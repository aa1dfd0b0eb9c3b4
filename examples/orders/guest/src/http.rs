//! Requests in, answers out.
use crate::Failure;
use std::io::{Read, Write};
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// Sends an answer. A client that went away meanwhile is no failure.
pub fn send(out: ResponseOutparam, status: u16, place: Option<&str>, body: &str) {
    let headers = Fields::new();
    let kind = if body.starts_with('<') { "text/html" } else { "text/plain" };
    let kind = format!("{kind}; charset=utf-8");
    for (name, value) in [("content-type", Some(kind.as_str())), ("location", place)] {
        if let Some(value) = value {
            headers.append(name, value.as_bytes()).expect("every name and value is well-formed");
        }
    }
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("every status has three digits");
    let outgoing = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = outgoing.write().expect("the stream is taken once");
    let written = stream.write_all(body.as_bytes());
    drop(stream);
    if written.is_ok() {
        // Fails only where the client went away.
        _ = OutgoingBody::finish(outgoing, None);
    }
}

/// The body, of which no more than this is read.
pub fn body(request: IncomingRequest, longest: u64) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    let incoming = request.consume().expect("the body is taken once");
    let stream = incoming.stream().expect("the stream is taken once");
    let read = stream.take(longest).read_to_end(&mut whole);
    read.map_err(|error| format!("reading the request: {error}"))?;
    Ok(whole)
}
