//! What the HTTP guests of WASI 0.3 share: giving an answer.
pub use kit_query::{Target, kebab};
use wasip3::http::types::{Fields, Request, Response};
use wasip3::wit_bindgen::StreamWriter;
use wasip3::{spawn_local, wit_future, wit_stream};

/// The path and query of this request.
pub fn target(request: &Request) -> Target {
    Target::parse(&request.get_path_with_query().unwrap_or_default())
}

/// An answer with a status and a whole body.
pub fn answer(status: u16, body: impl Into<Vec<u8>>) -> Response {
    let (response, mut writer) = streaming(status, Fields::new());
    let body = body.into();
    spawn_local(async move {
        // The client may have gone: nobody is left to hear of it.
        writer.write_all(body).await;
    });
    response
}

/// An answer whose body is still to be written, without trailers.
pub fn streaming(status: u16, headers: Fields) -> (Response, StreamWriter<u8>) {
    let (writer, contents) = wit_stream::new();
    // Dropping the writing end writes the default: no trailers.
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    response.set_status_code(status).unwrap();
    (response, writer)
}
