//! One call of `wasi:http/handler@0.3.x`.

use super::answer::Exchange;
use crate::host::{follow, view};
use bytes::Bytes;
use engine::Ctx;
use http_body::Body;
use http_types::Request;
use http_types::header::HOST;
use http_types::uri::{Authority, Scheme};
use std::pin::Pin;
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut as _, Store};
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::p3::bindings::Service;

/// Resolves when the body of the request was taken.
type Sent = Pin<Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>>;

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
    store
        .run_concurrent(async move |accessor: &Accessor<Ctx>| {
            answer(accessor, service, request, https, exchange).await?;
            engine::rest(accessor).await;
            Ok(())
        })
        .await?
}

/// One call in a store whose loop runs, until the body of its answer was taken: the body flows only
/// while the loop does.
pub(super) async fn answer<B>(
    accessor: &Accessor<Ctx>,
    service: &Service,
    request: Request<B>,
    https: bool,
    exchange: Exchange,
) -> wasmtime::Result<()>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<wasmtime_wasi_http::Error>,
{
    let host = request.headers().get(HOST).cloned();
    let (request, sent) = accessor.with(|mut store| {
        let view = view(store.data_mut());
        let (mut request, sent) = p3::Request::from_http(view.hooks, request);
        // HTTP/1.1 says neither in its request line.
        request.scheme = Some(if https { Scheme::HTTPS } else { Scheme::HTTP });
        if request.authority.is_none() {
            request.authority = host.and_then(|host| Authority::from_maybe_shared(host).ok());
        }
        // In a box, because its type would hold on to the hooks.
        let sent: Sent = Box::pin(sent);
        wasmtime::error::Ok((view.table.push(request)?, sent))
    })?;
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
    ended.wait().await;
    Ok(())
}
