//! Says what it was asked and streams the body and the trailers back, on WASI 0.3.
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response};
use wasip3::wit_future;

struct Echo;

impl Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let headers = answer_headers(&request);
        // The body goes back as it came, without a copy through this guest.
        let (_, received) = wit_future::new(|| Ok(()));
        let (contents, trailers) = Request::consume_body(request, received);
        let (response, _sent) = Response::new(headers, Some(contents), trailers);
        Ok(response)
    }
}

/// `x-method`, `x-path`, `x-authority` and `x-scheme`, then each request header behind `x-echo-`.
fn answer_headers(request: &Request) -> Fields {
    let headers = Fields::new();
    let method = match request.get_method() {
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
    let scheme = request.get_scheme().map(|scheme| format!("{scheme:?}")).unwrap_or_default();
    for (name, value) in [
        ("x-method", method.to_owned()),
        ("x-path", request.get_path_with_query().unwrap_or_default()),
        ("x-authority", request.get_authority().unwrap_or_default()),
        ("x-scheme", scheme),
    ] {
        headers.append(name, value.as_bytes()).unwrap();
    }
    for (name, value) in request.get_headers().copy_all() {
        // HTTP/1.1 has to say before the body which trailers follow it.
        if name.eq_ignore_ascii_case("trailer") {
            headers.append(&name, &value).unwrap();
        }
        headers.append(&format!("x-echo-{name}"), &value).unwrap();
    }
    headers
}

wasip3::http::service::export!(Echo);
