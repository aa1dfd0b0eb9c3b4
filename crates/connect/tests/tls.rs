//! Certificates that change under a running server, and roots that decide whom a client trusts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use base::Kind;
use connect::tls::{self, ServerIdentity};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use wharf_connect as connect;

struct Files {
    _folder: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    Files { _folder: folder, certificate, key }
}

/// Writes a new identity for `name` and returns its certificate.
fn write(files: &Files, name: &str) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(&files.certificate, cert.pem()).unwrap();
    std::fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

/// The certificate that a server with `identity` shows to a client that trusts `trusted`.
async fn shown(
    identity: &Arc<ServerIdentity>,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<(CertificateDer<'static>, Vec<u8>)> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let client = TlsConnector::from(tls::client(Arc::new(roots), tls::ALPN_HTTP).unwrap());
    let server = TlsAcceptor::from(identity.server(tls::ALPN_HTTP).unwrap());
    let (near, far) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from("a.test").unwrap();
    let (client, server) = tokio::join!(client.connect(name, near), server.accept(far));
    let (mut client, mut server) = (client?, server?);
    server.write_all(b"hello").await?;
    server.flush().await?;
    let mut hello = [0; 5];
    client.read_exact(&mut hello).await?;
    assert_eq!(&hello, b"hello");
    let state = client.get_ref().1;
    let certificate = state.peer_certificates().unwrap().first().unwrap().clone().into_owned();
    Ok((certificate, state.alpn_protocol().unwrap().to_vec()))
}

#[tokio::test]
async fn a_client_trusts_its_roots_and_nobody_else() {
    let files = files();
    let certificate = write(&files, "a.test");
    let identity = ServerIdentity::load(&files.certificate, &files.key).unwrap();
    let (seen, alpn) = shown(&identity, &certificate).await.unwrap();
    assert_eq!(seen, certificate);
    assert_eq!(alpn, b"h2");

    let stranger = write(&files, "a.test");
    assert!(shown(&identity, &stranger).await.is_err());
}

#[tokio::test]
async fn changed_files_are_shown_and_bad_ones_are_not() {
    let files = files();
    let first = write(&files, "a.test");
    let identity = ServerIdentity::load(&files.certificate, &files.key).unwrap();
    assert!(!identity.reload().unwrap());

    let second = write(&files, "a.test");
    assert!(identity.reload().unwrap());
    assert_eq!(shown(&identity, &second).await.unwrap().0, second);
    assert!(shown(&identity, &first).await.is_err());

    std::fs::write(&files.certificate, "no certificate").unwrap();
    assert_eq!(identity.reload().unwrap_err().kind(), Kind::Invalid);
    assert!(!identity.reload().unwrap(), "the same bad files are not read again");
    assert_eq!(shown(&identity, &second).await.unwrap().0, second);
}

#[tokio::test]
async fn a_watched_identity_reloads_by_itself() {
    let files = files();
    write(&files, "a.test");
    let identity = ServerIdentity::load(&files.certificate, &files.key).unwrap();
    let watch = Arc::clone(&identity).watch(Duration::from_millis(5));
    let changed = async {
        let second = write(&files, "a.test");
        while shown(&identity, &second).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let limit = tokio::time::sleep(Duration::from_secs(20));
    tokio::select! {
        () = watch => panic!("watching ended"),
        () = changed => {}
        () = limit => panic!("the new certificate was never shown"),
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (one, other) = (files(), files());
    write(&one, "a.test");
    write(&other, "a.test");
    let load = |certificate: &PathBuf, key: &PathBuf| {
        ServerIdentity::load(certificate, key).map(drop).unwrap_err()
    };
    assert_eq!(load(&one.certificate, &other.key).kind(), Kind::Invalid);
    assert_eq!(load(&one.key, &one.key).kind(), Kind::Invalid);
    assert_eq!(load(&one.certificate, &one.certificate).kind(), Kind::Invalid);
    let absent = load(&one.certificate, &PathBuf::from("absent.pem"));
    assert_eq!(absent.kind(), Kind::NotFound);
    assert!(absent.to_string().contains("absent.pem"));
}

#[test]
fn the_system_has_roots_and_installing_twice_is_fine() {
    tls::install();
    tls::install();
    assert!(!tls::system_roots().unwrap().is_empty());
}
