//! What the HTTP guests of WASI 0.3 share: giving an answer.
use kit_keyvalue::Outcome;
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

/// Answers 200 with the bytes, 404 where nothing is, 500 with an error.
pub fn answer_outcome(outcome: Outcome) -> Response {
    match outcome {
        Ok(Some(body)) => answer(200, body),
        Ok(None) => answer(404, "nothing here"),
        Err(message) => answer(500, message),
    }
}

/// The whole body of a request.
pub async fn whole(request: Request) -> Vec<u8> {
    let (_, received) = wit_future::new(|| Ok(()));
    let (body, _) = Request::consume_body(request, received);
    body.collect().await
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
