//! Requests in, answers out.
use std::io::{Read, Write};
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// Sends an answer. A client that went away meanwhile is no failure.
pub fn send(out: ResponseOutparam, status: u16, body: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).expect("every status has three digits");
    let outgoing = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = outgoing.write().expect("the stream is taken once");
    let written = stream.write_all(body);
    drop(stream);
    if written.is_ok() {
        // Fails only where the client went away.
        _ = OutgoingBody::finish(outgoing, None);
    }
}

/// The body, as far as it came.
pub fn body(request: IncomingRequest) -> Vec<u8> {
    let mut whole = Vec::new();
    let incoming = request.consume().expect("the body is taken once");
    let stream = incoming.stream().expect("the stream is taken once");
    // A client that goes away sends no more.
    _ = stream.take(1 << 20).read_to_end(&mut whole);
    whole
}
