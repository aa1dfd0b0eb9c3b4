//! Forwards a request to the URL in its header `x-target`, on WASI 0.3. Both bodies stream at the
//! same time. Where that fails the answer is 502 with the name of the error in `x-error`.
use kit_p3::kebab;
use wasip3::exports::http::handler::Guest;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::wit_future;

struct Proxy;

impl Guest for Proxy {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        forward(request).await.or_else(|error| {
            let headers = Fields::new();
            headers.append("x-error", error.as_bytes()).unwrap();
            Ok(kit_p3::streaming(502, headers).0)
        })
    }
}

async fn forward(request: Request) -> Result<Response, String> {
    let outgoing = outgoing(request)?;
    let answer = client::send(outgoing).await.map_err(|error| kebab(&error))?;
    let headers = Fields::new();
    for (name, value) in answer.get_headers().copy_all() {
        // What belongs to the other connection alone is refused, and rightly so.
        let _ = headers.append(&name, &value);
    }
    let status = answer.get_status_code();
    let (_, received) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Response::consume_body(answer, received);
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    response.set_status_code(status).unwrap();
    Ok(response)
}

/// The request to send: the same, but for its target.
fn outgoing(request: Request) -> Result<Request, String> {
    let headers = Fields::new();
    let mut target = String::new();
    for (name, value) in request.get_headers().copy_all() {
        match name.to_ascii_lowercase().as_str() {
            "x-target" => target = String::from_utf8(value).map_err(|_| "no-text")?,
            "host" | "connection" | "transfer-encoding" | "keep-alive" => {}
            _ => headers.append(&name, &value).map_err(|error| kebab(&error))?,
        }
    }
    let (scheme, rest) = target.split_once("://").ok_or("no-target")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let method = request.get_method();
    let (_, received) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Request::consume_body(request, received);
    let (outgoing, _sent) = Request::new(headers, Some(contents), trailers, None);
    let set = outgoing.set_method(&method);
    let set = set.and(outgoing.set_scheme(Some(&scheme)));
    let set = set.and(outgoing.set_authority(Some(authority)));
    set.and(outgoing.set_path_with_query(Some(path))).map_err(|()| "bad-target")?;
    Ok(outgoing)
}

wasip3::http::service::export!(Proxy);
