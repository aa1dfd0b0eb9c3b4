//! What the HTTP guests of WASI 0.2 share: giving an answer.
pub mod keyvalue;

pub use kit_keyvalue::Outcome;
pub use kit_query::{Target, kebab};
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// The path and query of this request.
pub fn target(request: &IncomingRequest) -> Target {
    Target::parse(&request.path_with_query().unwrap_or_default())
}

/// Answers with a status and a whole body.
pub fn answer(out: ResponseOutparam, status: u16, body: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).unwrap();
    let outgoing = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let stream = outgoing.write().unwrap();
    // The client may have gone: nobody is left to hear of it.
    let written = write_all(&stream, body);
    drop(stream);
    if written.is_ok() {
        OutgoingBody::finish(outgoing, None).unwrap();
    }
}

/// Answers 200 with the bytes, 404 where nothing is, 500 with an error.
pub fn answer_outcome(out: ResponseOutparam, outcome: Outcome) {
    match outcome {
        Ok(Some(body)) => answer(out, 200, &body),
        Ok(None) => answer(out, 404, b"nothing here"),
        Err(message) => answer(out, 500, message.as_bytes()),
    }
}

/// Writes everything, waiting for room as often as it takes.
pub fn write_all(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    // One blocking write takes no more than 4096 bytes.
    bytes.chunks(4096).try_for_each(|chunk| stream.blocking_write_and_flush(chunk))
}
