//! TLS from files, which may change.

use crate::support::client::{Connection, get};
use crate::support::{Folder, Served, eventually};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

const SECURE: &str = r#"
    name = "secure"
    [component.web]
    source = "http-echo-p2.wasm"
    [http]
    tls = { cert = "cert.pem", key = "key.pem" }
    header-timeout = "2s"
    [[http.route]]
    component = "web"
"#;

/// Writes a new certificate and its key.
pub(crate) fn identity(folder: &Folder) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    folder.write("key.pem", signing_key.serialize_pem());
    folder.write("cert.pem", cert.pem());
    cert.der().clone()
}

pub(crate) fn trusting(certificate: &CertificateDer<'static>, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn secure() -> (Served, CertificateDer<'static>) {
    let folder = Folder::with(SECURE);
    let certificate = identity(&folder);
    (folder.serve(&[]), certificate)
}

#[test]
fn alpn_chooses_the_version() {
    let (wharf, certificate) = secure();
    wharf.program.wait_for(&format!("Serving HTTPS on https://{}/", wharf.address));
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], http_types::Version::HTTP_2),
        (&["http/1.1"], http_types::Version::HTTP_11),
        (&[], http_types::Version::HTTP_11),
    ] {
        let config = trusting(&certificate, alpn);
        let answer = Connection::tls(wharf.address, config).unwrap().send(get("/")).unwrap();
        assert_eq!((answer.status, answer.version), (200, version));
        assert_eq!(answer.header("x-echo-x-forwarded-proto"), "https");
        assert!(answer.header("x-scheme").contains("Https"));
    }
}

#[test]
fn a_new_certificate_is_shown_without_a_restart() {
    let (wharf, old) = secure();
    let shown = |trusted: &CertificateDer<'static>| {
        Connection::tls(wharf.address, trusting(trusted, &["h2"])).map(|it| it.certificate)
    };
    let mut open = Connection::tls(wharf.address, trusting(&old, &["h2"])).unwrap();
    let new = identity(&wharf.folder);
    eventually("the new certificate", || (shown(&new) == Ok(Some(new.clone()))).then_some(()));
    // Whoever came before goes on.
    assert_eq!(open.send(get("/")).unwrap().status, 200);

    // A file that is no certificate changes nothing, and the log says so.
    wharf.folder.write("cert.pem", "nonsense");
    let line = wharf.program.wait_for("not reloaded");
    assert!(line.contains("cert.pem"), "{line}");
    assert_eq!(shown(&new), Ok(Some(new.clone())));
}

#[test]
fn a_handshake_that_never_ends_is_dropped() {
    let (wharf, certificate) = secure();
    let heard = crate::support::raw::exchange(wharf.address, [0x16, 3, 1], Duration::from_secs(30));
    assert!(heard.closed);
    let answer = Connection::tls(wharf.address, trusting(&certificate, &["h2"])).unwrap();
    drop(answer);
}

#[test]
fn plain_text_on_a_tls_port_is_refused() {
    let (wharf, _) = secure();
    let asked = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let heard = crate::support::raw::exchange(wharf.address, asked, Duration::from_secs(30));
    assert!(heard.closed && !heard.text().contains("200"), "{heard:?}");
}

#[test]
fn a_certificate_that_cannot_be_read_is_a_mistake() {
    let folder = Folder::with(SECURE);
    let ended = folder.run(&["serve"]);
    assert_eq!(ended.code, Some(64));
    assert!(ended.errors.contains("cert.pem") && ended.errors.contains("key.pem"));
    identity(&folder);
    folder.write("cert.pem", "nonsense");
    let ended = folder.run(&["serve", "--addr", "127.0.0.1:0"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("cert.pem"), "{}", ended.errors);
}
