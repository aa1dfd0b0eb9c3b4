//! One call of `wasi:http/incoming-handler@0.2.x`.

use super::answer::Exchange;
use crate::host::{follow, view};
use bytes::Bytes;
use engine::Ctx;
use http_body::Body;
use http_types::Request;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;

pub(super) async fn call<B>(
    store: &mut Store<Ctx>,
    proxy: &Proxy,
    request: Request<B>,
    https: bool,
    exchange: Exchange,
) -> wasmtime::Result<()>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<wasmtime_wasi_http::Error>,
{
    follow(store.data_mut(), request.headers());
    let scheme = if https { Scheme::Https } else { Scheme::Http };
    let mut view = view(store.data_mut());
    let request = view.new_incoming_request(scheme, request)?;
    let out = view.new_response_outparam_from_callback(move |answer| {
        exchange.answer(answer.map_err(|code| format!("{code:?}")));
    })?;
    proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
}
