//! TLS on either side.

use super::{Served, echo, file, filtered};
use crate::support::Folder;
use crate::support::client::{beside, wait};
use crate::support::server::free;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use testkit::certificates::Certificates;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn pem(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

/// A server that says everything back over TLS, after what ALPN chose.
fn secure_echo(certificates: &Certificates) -> SocketAddr {
    let key = PrivateKeyDer::from_pem_file(&certificates.server_key).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(pem(&certificates.server), key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), free());
    let address = listener.local_addr().unwrap();
    drop(beside(async move {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            drop(beside(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                let said = format!("{alpn:?} ");
                stream.write_all(said.as_bytes()).await.unwrap();
                let (mut from, mut to) = split(stream);
                // How it ends is seen at the other end.
                drop(copy(&mut from, &mut to).await);
                drop(to.shutdown().await);
            }));
        }
    }));
    address
}

fn to_tls(file: &str) -> String {
    file.replace("endpoints = [\"", "tls = { ca = \"ca.pem\" }\nendpoints = [\"https://")
}

fn folder(certificates: &Certificates) -> Folder {
    let folder = Folder::new();
    for (name, path) in [
        ("ca.pem", &certificates.ca),
        ("cert.pem", &certificates.server),
        ("key.pem", &certificates.server_key),
    ] {
        folder.write(name, std::fs::read(path).unwrap());
    }
    folder
}

#[test]
fn tls_is_spoken_to_the_server_without_a_word_of_http() {
    let certificates = Certificates::new();
    let server = secure_echo(&certificates);
    for file in [file(&[server], ""), filtered(server, "", "")] {
        let wharf = Served::of(folder(&certificates), &to_tls(&file));
        let mut client = wharf.connect();
        client.hears("None ");
        client.gets("hello", "hello");
        client.done();
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn a_server_of_another_authority_gets_no_byte() {
    let server = secure_echo(&Certificates::new());
    let wharf = Served::of(folder(&Certificates::new()), &to_tls(&file(&[server], "")));
    assert_eq!(wharf.connect().rest(), "");
    wharf.program.wait_for("TLS-certificate-error");
}

#[test]
fn tls_is_taken_off_what_comes_and_filters_learn_of_it() {
    let certificates = Certificates::new();
    let tls = "tls = { cert = \"cert.pem\", key = \"key.pem\" }\nupstream =";
    let told = "tell = [\"connection.requested_server_name\", \"connection.tls_version\"]";
    let file = filtered(echo(), told, "").replace("upstream =", tls);
    let wharf = Served::of(folder(&certificates), &file);
    wharf.program.wait_for(&format!("Serving db on tls://{}/", wharf.address));
    let mut roots = RootCertStore::empty();
    pem(&certificates.ca).into_iter().for_each(|authority| roots.add(authority).unwrap());
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let heard = wait(async {
        let stream = TcpStream::connect(wharf.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        heard
    });
    assert_eq!(heard, "hello");
    let line = wharf.program.wait_for("tcp 5 down, 5 up");
    assert!(line.contains("requested_server_name=localhost"), "{line}");
    assert!(line.contains("tls_version=TLSv1.3"), "{line}");
}

#[test]
fn who_speaks_no_tls_is_not_led_on() {
    let certificates = Certificates::new();
    let tls = "tls = { cert = \"cert.pem\", key = \"key.pem\" }";
    let wharf = Served::of(folder(&certificates), &file(&[echo()], tls));
    let mut client = wharf.connect();
    client.say("GET / HTTP/1.1\r\n\r\n");
    client.rest();
    wharf.have_ended("broken", 1);
}

#[test]
fn a_server_that_never_shakes_hands_is_given_up() {
    let silent = super::server(|_stream| {
        loop {
            std::thread::park();
        }
    });
    let keys = "connect-timeout = \"500ms\"\nretries = { attempts = 0 }";
    let file = to_tls(&file(&[silent], "")) + keys;
    let wharf = Served::of(folder(&Certificates::new()), &file);
    assert_eq!(wharf.connect().rest(), "");
    wharf.program.wait_for("connection-timeout");
    let name = "wharf_requests_total{upstream=\"up\",outcome=\"timed-out\"}";
    assert_eq!(wharf.metric(name), 1);
}
