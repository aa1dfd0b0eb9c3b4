//! Says what it was asked and streams the body and the trailers back, on WASI 0.2.
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::StreamError;

struct Echo;

impl Guest for Echo {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(answer_headers(&request));
        let outgoing = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));

        let incoming = request.consume().unwrap();
        let (from, to) = (incoming.stream().unwrap(), outgoing.write().unwrap());
        loop {
            match to.blocking_splice(&from, 64 * 1024) {
                Ok(_) => {}
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(error)) => {
                    panic!("{}", error.to_debug_string())
                }
            }
        }
        drop((from, to));
        OutgoingBody::finish(outgoing, trailers(incoming)).unwrap();
    }
}

/// `x-method`, `x-path`, `x-authority` and `x-scheme`, then each request header behind `x-echo-`.
fn answer_headers(request: &IncomingRequest) -> Fields {
    let headers = Fields::new();
    let method = match request.method() {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => &name.clone(),
    };
    let scheme = request.scheme().map(|scheme| format!("{scheme:?}")).unwrap_or_default();
    for (name, value) in [
        ("x-method", method.to_owned()),
        ("x-path", request.path_with_query().unwrap_or_default()),
        ("x-authority", request.authority().unwrap_or_default()),
        ("x-scheme", scheme),
    ] {
        headers.append(name, value.as_bytes()).unwrap();
    }
    for (name, value) in request.headers().entries() {
        // HTTP/1.1 has to say before the body which trailers follow it.
        if name.eq_ignore_ascii_case("trailer") {
            headers.append(&name, &value).unwrap();
        }
        headers.append(&format!("x-echo-{name}"), &value).unwrap();
    }
    headers
}

fn trailers(body: IncomingBody) -> Option<Fields> {
    let trailers = IncomingBody::finish(body);
    loop {
        match trailers.get() {
            // What came in is immutable and cannot go out: a copy can.
            Some(answer) => {
                let fields = answer.unwrap().unwrap()?;
                return Some(Fields::from_list(&fields.entries()).unwrap());
            }
            None => trailers.subscribe().block(),
        }
    }
}

wasip2::http::proxy::export!(Echo);
