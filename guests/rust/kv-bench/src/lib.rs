//! One get and one set for each request, then the twelve bytes of `hello-p2`: what benchmarks
//! compare with it. `/hello` does without the store.
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/keyvalue-draft2",
        world: "wasi:keyvalue/imports",
    });
}
use bindings::wasi::keyvalue::store;

struct Bench;

impl Guest for Bench {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        if request.path_with_query().as_deref() != Some("/hello") {
            let bucket = store::open("").unwrap();
            let value = bucket.get("visits").unwrap().unwrap_or_else(|| vec![b'x'; 100]);
            bucket.set("visits", &value).unwrap();
        }
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().unwrap();
        stream.blocking_write_and_flush(b"Hello, world").unwrap();
        drop(stream);
        OutgoingBody::finish(body, None).unwrap();
    }
}

wasip2::http::proxy::export!(Bench);
