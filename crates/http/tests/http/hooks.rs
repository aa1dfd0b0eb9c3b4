//! What guests meet: the same client behind the hooks of `wasmtime-wasi-http`.

use crate::servers::{
    Names, channel, client, data, echo, egress, get, http, network, settings, text,
};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use http_types::{HeaderMap, Request, Response};
use std::time::Duration;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode as P2;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode as P3;
use wasmtime_wasi_http::{Error as Wasi, RequestOptions, WasiBody, WasiHttpHooks as _};
use wharf_http::client::{Client, Error};
use wharf_http::hooks::Hooks;

type Sent = Box<dyn Future<Output = Result<(), Wasi>> + Send>;

async fn send<B>(
    hooks: &mut Hooks,
    request: Request<B>,
    options: Option<RequestOptions>,
) -> Result<(Response<WasiBody>, Sent), Error>
where
    B: http_body::Body<Data = Bytes, Error = Error> + Send + 'static,
{
    let request = request.map(|body| body.map_err(Wasi::from).boxed_unsync());
    let processed = Box::new(std::future::ready(Ok(())));
    Box::into_pin(hooks.send_request(request, options, processed)).await.map_err(Error::from)
}

#[tokio::test]
async fn a_guests_request_streams_out_and_its_answer_in() {
    let server = http(echo).await;
    let (sender, body) = channel();
    let mut hooks = Hooks::new(client());
    let request = Request::post(server.url("/")).body(body).unwrap();
    let (response, sent) = send(&mut hooks, request, None).await.unwrap();
    assert_eq!(response.headers()["got-host"], server.address.to_string());
    sender.send(data("ping")).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ping");
    drop(sender);
    Box::into_pin(sent).await.unwrap();
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn timeouts_of_the_guest_count_also_when_they_are_zero() {
    let server = http(|_| std::future::pending()).await;
    let mut hooks = Hooks::new(client());
    for first_byte_timeout in [Some(Duration::ZERO), Some(Duration::from_millis(50))] {
        let options = RequestOptions { first_byte_timeout, ..RequestOptions::default() };
        let error = send(&mut hooks, get(server.url("/")), Some(options)).await.err();
        assert_eq!(error, Some(Error::ConnectionReadTimeout));
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_denied() {
    let client = Client::new(network(Names::default()), egress(&[]), settings());
    let error = send(&mut Hooks::new(client), get("https://a.test/"), None).await.err();
    assert_eq!(error, Some(Error::HttpRequestDenied));
}

#[tokio::test]
async fn grpc_in_the_clear_speaks_http2_and_its_trailers_arrive() {
    let server = http(|request: Request<_>| async move {
        let version = format!("{:?}", request.version());
        let ok = [Ok(Frame::data(Bytes::from(version))), Ok(Frame::trailers(grpc_status()))];
        Response::new(http_body_util::StreamBody::new(futures::stream::iter(ok)).boxed_unsync())
    })
    .await;
    let mut hooks = Hooks::new(client());
    for (kind, version) in [
        ("application/grpc+proto", "HTTP/2.0"),
        ("application/grpc-web", "HTTP/1.1"),
        ("text/plain", "HTTP/1.1"),
    ] {
        let mut request = get(server.url("/"));
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        request.headers_mut().insert("te", "trailers".parse().unwrap());
        let (response, _sent) = send(&mut hooks, request, None).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        if version == "HTTP/2.0" {
            assert_eq!(body.trailers(), Some(&grpc_status()));
        }
        assert_eq!(body.to_bytes(), version, "{kind}");
    }
}

fn grpc_status() -> HeaderMap {
    crate::servers::trailers("grpc-status", "0")
}

#[tokio::test]
async fn a_chain_of_requests_is_counted_and_a_loop_detected() {
    let server = http(|request: Request<_>| async move {
        let chain = request.headers().get("cdn-loop").map(|chain| chain.to_str().unwrap());
        text(chain.unwrap_or("none").to_owned())
    })
    .await;
    let mut hooks = Hooks::new(client());
    let mut chain = HeaderMap::new();
    let ask = async |hooks: &mut Hooks| {
        let (response, _) = send(hooks, get(server.url("/")), None).await?;
        Ok(response.into_body().collect().await.unwrap().to_bytes())
    };
    assert_eq!(ask(&mut hooks).await.unwrap(), "none");
    chain.insert("cdn-loop", "other; v=1, wharf".parse().unwrap());
    hooks.begin_chain();
    hooks.join_chain(&chain);
    assert_eq!(ask(&mut hooks).await.unwrap(), "wharf, wharf");
    hooks.join_chain(&HeaderMap::new());
    assert_eq!(ask(&mut hooks).await.unwrap(), "wharf, wharf", "the longest counts");
    for _ in 0..15 {
        chain.append("cdn-loop", "wharf".parse().unwrap());
    }
    hooks.join_chain(&chain);
    assert_eq!(ask(&mut hooks).await, Err(Error::LoopDetected));
}

#[tokio::test]
async fn a_request_is_a_host_call_with_its_deadline_and_count() {
    use std::sync::atomic::Ordering::Relaxed;
    let server = http(|request: Request<_>| async move {
        if request.uri().path() == "/slow" {
            std::future::pending::<()>().await;
        }
        text("fine")
    })
    .await;
    let calls = engine::Calls::new("web", Duration::from_millis(200), 4);
    let mut hooks = Hooks::new(client()).with_calls(calls.clone());
    assert!(send(&mut hooks, get(server.url("/")), None).await.is_ok());
    let refused = send(&mut hooks, get("http://not.allowed/"), None).await.err();
    assert_eq!(refused, Some(Error::HttpRequestDenied));
    let late = send(&mut hooks, get(server.url("/slow")), None).await.err();
    assert_eq!(late, Some(Error::HttpResponseTimeout));
    let counts = calls.counts();
    assert_eq!((counts.ok.load(Relaxed), counts.timed_out.load(Relaxed)), (1, 1));
}

/// Every case, with something in it.
fn cases() -> Vec<Error> {
    let text = || Some("x".to_owned());
    let (name, size) = (text(), Some(1));
    vec![
        Error::DnsTimeout,
        Error::DnsError { rcode: text(), info_code: Some(1) },
        Error::DestinationNotFound,
        Error::DestinationUnavailable,
        Error::DestinationIpProhibited,
        Error::DestinationIpUnroutable,
        Error::ConnectionRefused,
        Error::ConnectionTerminated,
        Error::ConnectionTimeout,
        Error::ConnectionReadTimeout,
        Error::ConnectionWriteTimeout,
        Error::ConnectionLimitReached,
        Error::TlsProtocolError,
        Error::TlsCertificateError,
        Error::TlsAlertReceived { alert_id: Some(1), alert_message: text() },
        Error::HttpRequestDenied,
        Error::HttpRequestLengthRequired,
        Error::HttpRequestBodySize(Some(1)),
        Error::HttpRequestMethodInvalid,
        Error::HttpRequestUriInvalid,
        Error::HttpRequestUriTooLong,
        Error::HttpRequestHeaderSectionSize(Some(1)),
        Error::HttpRequestHeaderSize { field_name: name.clone(), field_size: size },
        Error::HttpRequestTrailerSectionSize(Some(1)),
        Error::HttpRequestTrailerSize { field_name: name.clone(), field_size: size },
        Error::HttpResponseIncomplete,
        Error::HttpResponseHeaderSectionSize(Some(1)),
        Error::HttpResponseHeaderSize { field_name: name.clone(), field_size: size },
        Error::HttpResponseBodySize(Some(1)),
        Error::HttpResponseTrailerSectionSize(Some(1)),
        Error::HttpResponseTrailerSize { field_name: name, field_size: size },
        Error::HttpResponseTransferCoding(text()),
        Error::HttpResponseContentCoding(text()),
        Error::HttpResponseTimeout,
        Error::HttpUpgradeFailed,
        Error::HttpProtocolError,
        Error::LoopDetected,
        Error::ConfigurationError,
        Error::InternalError(text()),
    ]
}

#[test]
fn every_case_keeps_its_name_in_every_spelling() {
    // `DnsError { … }`, `DNS-error` and the like, bare.
    let bare = |text: String| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '-' && c != ':');
        let text = text[..end.unwrap_or(text.len())].replace(['-', ':'], "").to_lowercase();
        text.trim_start_matches("errorcode").to_owned()
    };
    for case in cases() {
        let name = bare(case.name().to_owned());
        assert_eq!(bare(format!("{case:?}")), name);
        assert_eq!(bare(format!("{:?}", P2::from(case.clone()))), name);
        assert_eq!(bare(format!("{:?}", P3::from(case.clone()))), name);
        let there = Wasi::from(case.clone());
        assert_eq!(bare(format!("{there:?}")), name);
        assert_eq!(Error::from(there), case);
    }
}
