//! Answers every request with a line of text.
use std::io::Write;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Hello;

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let mut stream = body.write().expect("the stream is taken once");
        // Writing fails only where the client went away.
        let written = writeln!(stream, "Hello from {path}");
        drop(stream);
        if written.is_ok() {
            _ = OutgoingBody::finish(body, None);
        }
    }
}

wasip2::http::proxy::export!(Hello);
