//! TLS: whom the client trusts, which version of HTTP it gets, and how failures are called.

use crate::servers::{Names, Server, egress, fetch, get, http, https, network, settings, text};
use connect::tls::{ALPN_HTTP, ALPN_HTTP1, ServerIdentity};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use std::sync::Arc;
use std::time::Duration;
use wharf_http::client::{Client, Error, Network, Options, Protocol};

/// A server for `a.test`, and a network that trusts it.
async fn secure(alpn: &[&[u8]]) -> (Server, Arc<Network>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["a.test".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let identity = ServerIdentity::load(certificate, key).unwrap();
    let answer = |request: http_types::Request<_>| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        text(format!("{:?}", request.version()))
    };
    let server = https(identity.server(alpn).unwrap(), answer).await;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let names = Names { known: vec![("b.test", vec!["127.0.0.1"])], ..Names::default() };
    let network = Network::new(100).with_resolver(Arc::new(names)).with_roots(Arc::new(roots));
    (server, Arc::new(network))
}

fn client(network: &Arc<Network>) -> Client {
    Client::new(Arc::clone(network), egress(&["*.test", "127.0.0.1"]), settings())
}

fn url(server: &Server, host: &str) -> String {
    format!("https://{host}:{}/", server.address.port())
}

#[tokio::test]
async fn alpn_chooses_the_version() {
    for (alpn, protocol, version) in [
        (ALPN_HTTP, Protocol::Auto, "HTTP/2.0"),
        (ALPN_HTTP, Protocol::Http2, "HTTP/2.0"),
        (ALPN_HTTP, Protocol::Http1, "HTTP/1.1"),
        (ALPN_HTTP1, Protocol::Auto, "HTTP/1.1"),
        (&[], Protocol::Auto, "HTTP/1.1"),
    ] {
        let (server, network) = secure(alpn).await;
        let options = Options { protocol, ..Options::default() };
        for host in ["a.test", "127.0.0.1"] {
            let exchange = client(&network).send(get(url(&server, host)), options).await.unwrap();
            let body = http_body_util::BodyExt::collect(exchange.response.into_body()).await;
            assert_eq!(body.unwrap().to_bytes(), version);
        }
    }
}

#[tokio::test]
async fn a_burst_opens_one_http2_connection() {
    let (server, network) = secure(ALPN_HTTP).await;
    let client = client(&network);
    let ask = || async { fetch(&client, get(url(&server, "a.test"))).await.unwrap() };
    let answers = futures::future::join_all((0..50).map(|_| ask())).await;
    assert!(answers.iter().all(|answer| answer == "HTTP/2.0"));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_burst_over_http1_opens_several() {
    let (server, network) = secure(ALPN_HTTP1).await;
    let client = client(&network);
    let ask = || async { fetch(&client, get(url(&server, "a.test"))).await.unwrap() };
    futures::future::join_all((0..20).map(|_| ask())).await;
    assert!(server.connections() > 1);
    let before = server.connections();
    ask().await;
    assert_eq!(server.connections(), before);
}

#[tokio::test]
async fn strangers_and_wrong_names_are_certificate_errors() {
    let (server, trusting) = secure(ALPN_HTTP).await;
    let (_other, stranger) = secure(ALPN_HTTP).await;
    let error = fetch(&client(&stranger), get(url(&server, "a.test"))).await;
    assert_eq!(error, Err(Error::TlsCertificateError));
    let error = fetch(&client(&trusting), get(url(&server, "b.test"))).await;
    assert_eq!(error, Err(Error::TlsCertificateError));
}

#[tokio::test]
async fn a_server_without_tls_is_a_protocol_error() {
    let (_server, network) = secure(ALPN_HTTP).await;
    let plain = crate::servers::raw(|mut stream, _| async move {
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await
    })
    .await;
    let error = fetch(&client(&network), get(url(&plain, "a.test"))).await;
    assert_eq!(error, Err(Error::TlsProtocolError));
}

#[tokio::test]
async fn an_alert_is_passed_on() {
    let (server, network) = secure(&[b"gopher"]).await;
    let error = fetch(&client(&network), get(url(&server, "a.test"))).await.unwrap_err();
    let Error::TlsAlertReceived { alert_id, alert_message } = error else { panic!("{error:?}") };
    assert_eq!(alert_id, Some(120));
    assert_eq!(alert_message.as_deref(), Some("NoApplicationProtocol"));
}

#[tokio::test]
async fn a_server_that_hangs_up_is_terminated() {
    let (_server, network) = secure(ALPN_HTTP).await;
    let rude = crate::servers::raw(|stream, _| async move {
        drop(stream);
        Ok(())
    })
    .await;
    let error = fetch(&client(&network), get(url(&rude, "a.test"))).await;
    assert_eq!(error, Err(Error::ConnectionTerminated));
}

#[tokio::test]
async fn without_roots_plain_http_still_works() {
    let server = http(|_| async { text("fine") }).await;
    let names = network(Names::default());
    assert_eq!(fetch(&client(&names), get(server.url("/"))).await.unwrap(), "fine");
}
