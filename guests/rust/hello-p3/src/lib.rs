//! Answers every request with twelve bytes, on WASI 0.3: what benchmarks measure.
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Hello;

impl Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let (mut body, contents) = wit_stream::new();
        // Dropping the writing end writes the default: no trailers.
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
        spawn_local(async move {
            body.write_all(b"Hello, world".to_vec()).await;
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Hello);
