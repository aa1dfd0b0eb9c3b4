//! TLS to servers: whom they are trusted to be, and who asks.

use super::file;
use crate::support::client::{Connection, get};
use crate::support::server::{Server, echo};
use crate::support::{Folder, Served};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use testkit::certificates::Certificates;

/// A server that speaks these protocols, and wants to know its clients if it `asks`.
fn server(certificates: &Certificates, alpn: &[&str], asks: bool) -> Server {
    let config = ServerConfig::builder();
    let config = match asks {
        false => config.with_no_client_auth(),
        true => {
            let mut roots = RootCertStore::empty();
            for authority in pem(&certificates.ca) {
                roots.add(authority).unwrap();
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
            config.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&certificates.server_key).unwrap();
    let mut config = config.with_single_cert(pem(&certificates.server), key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Server::secure(config, echo)
}

fn pem(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

fn gateway(server: &Server, certificates: &Certificates, tls: &str, more: &str) -> Served {
    let file = file(&[server.address], &format!("{tls}\n{more}"));
    let folder = Folder::with(&file.replace("endpoints = [\"", "endpoints = [\"https://"));
    let files = [
        ("ca.pem", &certificates.ca),
        ("client.pem", &certificates.client),
        ("client-key.pem", &certificates.client_key),
    ];
    for (name, path) in files {
        folder.write(name, std::fs::read(path).unwrap());
    }
    folder.serve(&[])
}

#[test]
fn alpn_chooses_the_version_that_is_spoken() {
    let certificates = Certificates::new();
    for (alpn, keys, version) in [
        (&["h2", "http/1.1"][..], "", "2"),
        (&["http/1.1"], "", "1"),
        (&[], "", "1"),
        (&["h2", "http/1.1"], "http2 = false", "1"),
        (&["h2", "http/1.1"], "http2 = true", "2"),
    ] {
        let server = server(&certificates, alpn, false);
        let wharf = gateway(&server, &certificates, "tls = { ca = \"ca.pem\" }", keys);
        for connect in [Connection::http1, Connection::http2] {
            let answer = connect(wharf.address).unwrap().send(get("/a")).unwrap();
            let said = (answer.status, answer.header("x-version"), answer.header("x-path"));
            assert_eq!(said, (200, version, "/a"), "{alpn:?} {keys}");
            // What the client spoke to us, not what we speak to the server.
            assert_eq!(answer.header("x-echo-x-forwarded-proto"), "http");
        }
    }
}

#[test]
fn a_server_that_speaks_no_http2_is_502_where_nothing_else_is_spoken() {
    let certificates = Certificates::new();
    let server = server(&certificates, &["http/1.1"], false);
    let wharf = gateway(&server, &certificates, "tls = { ca = \"ca.pem\" }", "http2 = true");
    assert_eq!(wharf.get("/").status, 502);
}

#[test]
fn a_server_of_another_authority_or_name_is_not_asked() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let server = server(&certificates, &["h2"], false);
    for (trusted, tls) in [
        (&others, "tls = { ca = \"ca.pem\" }"),
        (&certificates, "tls = { ca = \"ca.pem\", server-name = \"other.example\" }"),
    ] {
        let wharf = gateway(&server, trusted, tls, "");
        assert_eq!(wharf.get("/").status, 502);
        let line = wharf.program.wait_for("TLS-certificate-error");
        assert!(line.contains(&server.address.to_string()), "{line}");
    }
    assert_eq!(server.requests(), 0);
    let tls = "tls = { ca = \"ca.pem\", server-name = \"localhost\" }";
    assert_eq!(gateway(&server, &certificates, tls, "").get("/").status, 200);
}

#[test]
fn a_server_that_asks_who_it_is_learns_it() {
    let certificates = Certificates::new();
    let server = server(&certificates, &["h2", "http/1.1"], true);
    let own = "tls = { ca = \"ca.pem\", certificate = \"client.pem\", key = \"client-key.pem\" }";
    assert_eq!(gateway(&server, &certificates, own, "").get("/").status, 200);
    let wharf = gateway(&server, &certificates, "tls = { ca = \"ca.pem\" }", "");
    assert_eq!(wharf.get("/").status, 502);
}

#[test]
fn files_that_do_not_belong_together_are_mistakes() {
    let certificates = Certificates::new();
    let folder = Folder::with(
        "name = \"gateway\"\n[[http.route]]\nupstream = \"up\"\n[upstream.up]\n\
         endpoints = \"https://127.0.0.1:1\"\n\
         tls = { ca = \"ca.pem\", certificate = \"client.pem\", key = \"ca.pem\" }\n",
    );
    folder.write("ca.pem", std::fs::read(&certificates.ca).unwrap());
    folder.write("client.pem", std::fs::read(&certificates.client).unwrap());
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("upstream `up`"), "{}", ended.errors);
    assert!(ended.errors.contains("wharf.toml:6:"), "{}", ended.errors);
}
