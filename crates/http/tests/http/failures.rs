//! Every way in which a server misbehaves has its case.

use crate::servers::{
    Names, channel, client, client_with, data, egress, fetch, get, http, network, post, raw,
    read_head, says, send, settings, text,
};
use http_body_util::BodyExt as _;
use http_types::Request;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use wharf_http::client::{Client, Error, Options, Settings};

const SHORT: Duration = Duration::from_millis(100);

/// What a client with these settings says of a server that answers so.
async fn heard(settings: Settings, response: &str) -> Error {
    let server = says(response).await;
    fetch(&client_with(settings), get(server.url("/"))).await.unwrap_err()
}

#[tokio::test]
async fn what_is_no_response_is_a_protocol_error() {
    for garbage in [
        "lorem ipsum\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n",
    ] {
        assert_eq!(heard(settings(), garbage).await, Error::HttpProtocolError, "{garbage}");
    }
}

#[tokio::test]
async fn what_is_cut_off_is_terminated_or_incomplete() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-le"] {
        assert_eq!(heard(settings(), head).await, Error::ConnectionTerminated, "{head}");
    }
    for body in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ] {
        assert_eq!(heard(settings(), body).await, Error::HttpResponseIncomplete, "{body}");
    }
}

#[tokio::test]
async fn bad_chunks_are_a_transfer_coding_error() {
    let coding = Error::HttpResponseTransferCoding(Some("chunked".to_owned()));
    for chunk in ["lorem\r\n", "fffffffffffffffffff\r\nx", "1\r\nxx\r\n"] {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(heard(settings(), &format!("{head}{chunk}")).await, coding, "{chunk}");
    }
}

#[tokio::test]
async fn a_response_keeps_to_its_limits() {
    let tight = || Settings { response_headers: 8 << 10, response_body: 10, ..settings() };
    let large = "x".repeat(9 << 10);
    let head = heard(tight(), &format!("HTTP/1.1 200 OK\r\nlarge: {large}\r\n\r\n")).await;
    assert!(matches!(head, Error::HttpResponseHeaderSectionSize(_)), "{head:?}");
    let many = "a: b\r\n".repeat(250);
    let head = heard(settings(), &format!("HTTP/1.1 200 OK\r\n{many}\r\n")).await;
    assert!(matches!(head, Error::HttpResponseHeaderSectionSize(_)), "{head:?}");

    let declared = heard(tight(), "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n").await;
    assert_eq!(declared, Error::HttpResponseBodySize(Some(11)));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let streamed = heard(tight(), &format!("{chunked}c\r\n0123456789ab\r\n0\r\n\r\n")).await;
    assert_eq!(streamed, Error::HttpResponseBodySize(Some(12)));
    let trailed = heard(tight(), &format!("{chunked}0\r\nlarge: {large}\r\n\r\n")).await;
    assert_eq!(trailed, Error::HttpResponseTrailerSectionSize(None));
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_fails() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    assert_eq!(heard(settings(), switch).await, Error::HttpUpgradeFailed);
}

#[tokio::test]
async fn a_reset_connection_is_terminated() {
    let server = raw(|mut stream, _| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx").await?;
        // Long enough for the client to see the head.
        tokio::time::sleep(SHORT).await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    })
    .await;
    let body = send(&client(), get(server.url("/"))).await.unwrap().response.into_body();
    assert_eq!(body.collect().await.unwrap_err(), Error::ConnectionTerminated);
}

#[tokio::test]
async fn closed_ports_refuse_and_broadcast_has_no_route() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(fetch(&client(), get(url)).await, Err(Error::ConnectionRefused));
    let rules = egress(&["255.255.255.255"]);
    let client = Client::new(network(Names::default()), rules, settings());
    let error = fetch(&client, get("http://255.255.255.255/")).await;
    assert_eq!(error, Err(Error::DestinationIpUnroutable));
}

#[tokio::test]
async fn names_that_are_absent_empty_or_slow_have_their_cases() {
    let known = vec![("empty.test", vec![])];
    let network = network(Names { known, ..Names::default() });
    let settings = Settings { lookup_timeout: SHORT, ..settings() };
    let client = Client::new(network, egress(&["*.test"]), settings);
    let dns = |rcode: &str| Error::DnsError { rcode: Some(rcode.to_owned()), info_code: None };
    for (host, error) in [
        ("absent.test", dns("NXDOMAIN")),
        ("empty.test", dns("NODATA")),
        ("slow.test", Error::DnsTimeout),
    ] {
        let url = format!("http://{host}/");
        assert_eq!(fetch(&client, get(url)).await, Err(error), "{host}");
    }
}

#[tokio::test]
async fn the_systems_resolver_is_understood() {
    // No resolver asks anybody for a label that no name may have.
    let host = format!("{}.test", "a".repeat(64));
    let network = std::sync::Arc::new(wharf_http::client::Network::new(1));
    let client = Client::new(network, egress(&["*.test", "localhost"]), settings());
    let error = fetch(&client, get(format!("http://{host}/"))).await.unwrap_err();
    assert!(matches!(error, Error::DnsError { .. }), "{error:?}");
    let server = http(|_| async { text("here") }).await;
    let url = format!("http://localhost:{}/", server.address.port());
    assert_eq!(fetch(&client, get(url)).await.unwrap(), "here");
}

#[tokio::test]
async fn silence_times_out_where_it_falls() {
    let silent = raw(|mut stream, _| async move {
        read_head(&mut stream).await?;
        std::future::pending().await
    })
    .await;
    let stuck = raw(|mut stream, _| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx").await?;
        std::future::pending().await
    })
    .await;
    let ask = async |server: &str, options| {
        let exchange = client().send(get(server), options).await?;
        exchange.response.into_body().collect().await.map(drop)
    };
    for zero_or in [Duration::ZERO, SHORT] {
        let first = Options { first_byte_timeout: Some(zero_or), ..Options::default() };
        let between = Options { between_bytes_timeout: Some(zero_or), ..Options::default() };
        let total = Options { total_timeout: Some(zero_or), ..Options::default() };
        let connect = Options { connect_timeout: Some(zero_or), ..Options::default() };
        let read = Err(Error::ConnectionReadTimeout);
        assert_eq!(ask(&silent.url("/"), first).await, read);
        assert_eq!(ask(&stuck.url("/"), between).await, read);
        assert_eq!(ask(&silent.url("/"), total).await, Err(Error::HttpResponseTimeout));
        assert_eq!(ask(&stuck.url("/"), total).await, Err(Error::HttpResponseTimeout));
        // A server that should say something in TLS first.
        let secure = format!("https://127.0.0.1:{}/", silent.address.port());
        assert_eq!(ask(&secure, connect).await, Err(Error::ConnectionTimeout));
    }
}

#[tokio::test]
async fn an_endless_answer_ends_with_the_time() {
    let server = raw(|mut stream, _| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        loop {
            stream.write_all(&[0; 1024]).await?;
        }
    })
    .await;
    let options = Options { total_timeout: Some(SHORT), ..Options::default() };
    let exchange = client().send(get(server.url("/")), options).await.unwrap();
    let mut body = exchange.response.into_body();
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::HttpResponseTimeout);
}

#[tokio::test]
async fn endless_timeouts_are_fine() {
    let server = http(|_| async { text("fine") }).await;
    let for_ever = Some(Duration::MAX);
    let options = Options {
        connect_timeout: for_ever,
        first_byte_timeout: for_ever,
        between_bytes_timeout: for_ever,
        total_timeout: for_ever,
        ..Options::default()
    };
    let exchange = client().send(get(server.url("/")), options).await.unwrap();
    let body = exchange.response.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "fine");
}

#[tokio::test]
async fn a_request_that_moves_is_not_late() {
    let server = http(|request| async move {
        let body = request.into_body().collect().await.unwrap();
        text(body.to_bytes())
    })
    .await;
    let (sender, body) = channel();
    let slowly = async move {
        for _ in 0..8 {
            tokio::time::sleep(SHORT / 2).await;
            sender.send(data("x")).await.unwrap();
        }
    };
    let options = Options { first_byte_timeout: Some(SHORT * 2), ..Options::default() };
    let client = client();
    let request = Request::post(server.url("/")).body(body).unwrap();
    let (answer, ()) = tokio::join!(client.send(request, options), slowly);
    let body = answer.unwrap().response.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "xxxxxxxx");
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_a_write_timeout() {
    let server = raw(|stream, _| async move {
        let _stream = stream;
        std::future::pending().await
    })
    .await;
    let client = client_with(Settings { write_timeout: SHORT, ..settings() });
    let flood = "x".repeat(64 << 20);
    let error = fetch(&client, post(server.url("/"), &flood)).await.unwrap_err();
    assert_eq!(error, Error::ConnectionWriteTimeout);
}

#[tokio::test]
async fn a_request_keeps_to_what_it_says() {
    let server = http(|request| async move {
        drop(request.into_body().collect().await);
        text("")
    })
    .await;
    let client = client_with(Settings { request_headers: 1 << 10, request_body: 5, ..settings() });
    let mut large = get(server.url("/"));
    large.headers_mut().insert("large", "x".repeat(1 << 10).parse().unwrap());
    let error = fetch(&client, large).await.unwrap_err();
    assert!(matches!(error, Error::HttpRequestHeaderSectionSize(Some(_))), "{error:?}");
    let error = fetch(&client, post(server.url("/"), "123456")).await.unwrap_err();
    assert_eq!(error, Error::HttpRequestBodySize(Some(6)));

    for lengths in [&["1", "2"][..], &["1", "1"], &["+1"], &["one"], &[""]] {
        let mut request = post(server.url("/"), "x");
        for length in lengths {
            request.headers_mut().append("content-length", length.parse().unwrap());
        }
        let error = fetch(&client, request).await;
        assert_eq!(error, Err(Error::HttpRequestBodySize(None)), "{lengths:?}");
    }

    for (declared, parts) in [("4", ["12", "3"]), ("2", ["1", "23"])] {
        let (sender, body) = channel();
        let request = Request::post(server.url("/")).header("content-length", declared);
        let write = async move {
            for part in parts {
                drop(sender.send(data(part)).await);
            }
        };
        let (answer, ()) = tokio::join!(fetch(&client, request.body(body).unwrap()), write);
        assert_eq!(answer, Err(Error::HttpRequestBodySize(Some(3))), "{declared}");
    }
}

#[tokio::test]
async fn a_body_that_fails_says_why() {
    let server = http(|request| async move {
        drop(request.into_body().collect().await);
        text("")
    })
    .await;
    let (sender, body) = channel();
    let write = async move {
        sender.send(data("x")).await.unwrap();
        sender.send(Err(Error::ConfigurationError)).await.unwrap();
    };
    let client = client();
    let request = Request::post(server.url("/")).body(body).unwrap();
    let (answer, ()) = tokio::join!(fetch(&client, request), write);
    assert_eq!(answer, Err(Error::ConfigurationError));
}
