//! HTTP/2 in the clear, and servers that reset, refuse and say goodbye.

use crate::servers::{Server, client, client_with, fetch, get, http, post, raw, settings, text};
use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_types::{Request, Response};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use wharf_http::client::{Client, Error, Options, Protocol, Settings};

const HTTP2: Options = Options {
    connect_timeout: None,
    first_byte_timeout: None,
    between_bytes_timeout: None,
    total_timeout: None,
    protocol: Protocol::Http2,
    upgrade: false,
};

async fn ask(
    client: &Client,
    request: Request<UnsyncBoxBody<Bytes, Error>>,
) -> Result<String, Error> {
    let exchange = client.send(request, HTTP2).await?;
    let body = exchange.response.into_body().collect().await?;
    Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

/// A server that answers each request by a synchronous function; it is told how many came before.
async fn scripted(answer: impl Fn(usize, SendResponse<Bytes>) + Clone + Send + 'static) -> Server {
    let count = Arc::new(AtomicUsize::new(0));
    raw(move |stream, _| {
        let (answer, count) = (answer.clone(), Arc::clone(&count));
        async move {
            let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
            while let Some(Ok((_request, respond))) = connection.accept().await {
                answer(count.fetch_add(1, Ordering::SeqCst), respond);
            }
            Ok(())
        }
    })
    .await
}

fn finish(mut respond: SendResponse<Bytes>) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from("fine"), true).unwrap();
}

#[tokio::test]
async fn prior_knowledge_speaks_http2_in_the_clear() {
    let server = http(|request| async move { text(format!("{:?}", request.version())) }).await;
    let client = client();
    assert_eq!(ask(&client, get(server.url("/"))).await.unwrap(), "HTTP/2.0");
    assert_eq!(fetch(&client, get(server.url("/"))).await.unwrap(), "HTTP/1.1");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let server = http(|_| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        text("fine")
    })
    .await;
    let client = client();
    let all = (0..90).map(|_| ask(&client, get(server.url("/"))));
    for answer in futures::future::join_all(all).await {
        assert_eq!(answer.unwrap(), "fine");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn resets_have_their_cases() {
    for (reason, error) in [
        (Reason::INTERNAL_ERROR, Error::HttpResponseIncomplete),
        (Reason::CANCEL, Error::HttpResponseIncomplete),
        (Reason::PROTOCOL_ERROR, Error::HttpProtocolError),
        (Reason::ENHANCE_YOUR_CALM, Error::DestinationUnavailable),
    ] {
        let server = scripted(move |_, mut respond| respond.send_reset(reason)).await;
        assert_eq!(ask(&client(), get(server.url("/"))).await, Err(error), "{reason}");
    }
    let server = scripted(|_, mut respond| {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from("half"), false).unwrap();
        stream.send_reset(Reason::INTERNAL_ERROR);
    })
    .await;
    let error = ask(&client(), get(server.url("/"))).await;
    assert_eq!(error, Err(Error::HttpResponseIncomplete));
}

#[tokio::test]
async fn what_was_refused_is_sent_again_if_it_can_be() {
    let server = scripted(|before, mut respond| match before {
        0 => respond.send_reset(Reason::REFUSED_STREAM),
        _ => finish(respond),
    })
    .await;
    assert_eq!(ask(&client(), get(server.url("/"))).await.unwrap(), "fine");

    let server = scripted(|_, mut respond| respond.send_reset(Reason::REFUSED_STREAM)).await;
    let error = ask(&client(), post(server.url("/"), "once")).await;
    assert_eq!(error, Err(Error::DestinationUnavailable));
}

#[tokio::test]
async fn after_a_goodbye_another_connection_is_made() {
    let server = raw(|stream, _| async move {
        let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
        if let Some(Ok((_request, respond))) = connection.accept().await {
            finish(respond);
            connection.graceful_shutdown();
        }
        while connection.accept().await.is_some() {}
        Ok(())
    })
    .await;
    let client = client();
    for _ in 0..20 {
        assert_eq!(ask(&client, get(server.url("/"))).await.unwrap(), "fine");
    }
    assert_eq!(server.connections(), 20);
}

#[tokio::test]
async fn large_heads_are_refused_and_a_little_too_large_is_measured() {
    let server = scripted(|_, mut respond| {
        let head = Response::builder().header("large", "x".repeat(9 << 10));
        drop(respond.send_response(head.body(()).unwrap(), true));
    })
    .await;
    let tight = client_with(Settings { response_headers: 8 << 10, ..settings() });
    let error = ask(&tight, get(server.url("/"))).await.unwrap_err();
    assert!(matches!(error, Error::HttpResponseHeaderSectionSize(Some(_))), "{error:?}");
    let tighter = client_with(Settings { response_headers: 1 << 10, ..settings() });
    let error = ask(&tighter, get(server.url("/"))).await.unwrap_err();
    assert_eq!(error, Error::HttpResponseHeaderSectionSize(None));
}

#[tokio::test]
async fn dropping_a_response_resets_its_stream_alone() {
    let reset = Arc::new(Notify::new());
    let told = Arc::clone(&reset);
    let server = http(move |request| {
        let told = Arc::clone(&told);
        async move {
            if request.uri().path() == "/slow" {
                // Dropped when the client resets the stream.
                let _guard = scopeguard(move || told.notify_one());
                std::future::pending::<()>().await;
            }
            text("fine")
        }
    })
    .await;
    let client = client();
    ask(&client, get(server.url("/"))).await.unwrap();
    let slow = client.send(get(server.url("/slow")), HTTP2);
    assert!(tokio::time::timeout(Duration::from_millis(100), slow).await.is_err());
    reset.notified().await;
    assert_eq!(ask(&client, get(server.url("/"))).await.unwrap(), "fine");
    assert_eq!(server.connections(), 1);
}

/// Runs something when dropped.
fn scopeguard(run: impl FnOnce()) -> impl Drop {
    struct Guard<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Guard<F> {
        fn drop(&mut self) {
            if let Some(run) = self.0.take() {
                run();
            }
        }
    }
    Guard(Some(run))
}

#[tokio::test]
async fn garbage_is_a_protocol_error() {
    let server = raw(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await;
    let error = ask(&client(), get(server.url("/"))).await.unwrap_err();
    assert_eq!(error, Error::HttpProtocolError);
}
