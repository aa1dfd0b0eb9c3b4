//! One call of `wasi:http/handler@0.3.x`.

use super::answer::Exchange;
use crate::host::{follow, view};
use bytes::Bytes;
use engine::Ctx;
use http_body::Body;
use http_types::Request;
use http_types::header::HOST;
use http_types::uri::{Authority, Scheme};
use std::future::poll_fn;
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut as _, Store};
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::p3::bindings::Service;

pub(super) async fn call<B>(
    store: &mut Store<Ctx>,
    service: &Service,
    request: Request<B>,
    https: bool,
    exchange: Exchange,
) -> wasmtime::Result<()>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<wasmtime_wasi_http::Error>,
{
    follow(store.data_mut(), request.headers());
    let host = request.headers().get(HOST).cloned();
    let (mut request, sent) = p3::Request::from_http(view(store.data_mut()).hooks, request);
    // HTTP/1.1 says neither in its request line.
    request.scheme = Some(if https { Scheme::HTTPS } else { Scheme::HTTP });
    if request.authority.is_none() {
        request.authority = host.and_then(|host| Authority::from_maybe_shared(host).ok());
    }
    store
        .run_concurrent(async move |accessor: &Accessor<Ctx>| {
            let request = accessor.with(|mut store| view(store.data_mut()).table.push(request))?;
            let ended = exchange.ended();
            match service.wasi_http_handler().call_handle(accessor, request).await? {
                Ok(response) => {
                    let response = accessor.with(|mut store| {
                        let response = view(store.data_mut()).table.delete(response)?;
                        response.into_http_with_getter(store.as_context_mut(), sent, view)
                    })?;
                    exchange.answer(Ok(response));
                }
                Err(code) => exchange.answer(Err(format!("{code:?}"))),
            }
            // The body flows only while the store's own loop runs, and what the guest does after
            // its answer is part of the call.
            ended.wait().await;
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await?
}
