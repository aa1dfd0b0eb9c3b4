//! TLS to servers, trusted as far as the system trusts their authorities.

use super::{refused, through};
use crate::support::{Folder, Served, promises};
use std::path::Path;
use testkit::certificates::Certificates;

promises!([
    a_server_whose_authority_the_system_trusts_is_asked,
    a_server_of_another_authority_is_not_asked,
    a_certificate_is_for_its_names_alone,
] of http_proxy_p2, http_proxy_p3);

/// A server with these certificates.
fn server(certificates: &Certificates) -> Served {
    Folder::with(&format!(
        r#"
            name = "secure"
            [component.web]
            source = "http-echo-p2.wasm"
            [http]
            tls = {{ cert = "{}", key = "{}" }}
            [[http.route]]
            component = "web"
        "#,
        certificates.server.display(),
        certificates.server_key.display()
    ))
    .serve(&[])
}

/// A proxy on a system that trusts these authorities.
fn proxy(guest: &str, trusted: &Path) -> Served {
    let folder = Folder::with(&format!(
        r#"
            name = "proxy"
            [component.web]
            source = "{guest}.wasm"
            egress = ["127.0.0.0/8", "localhost"]
            [[http.route]]
            component = "web"
        "#
    ));
    let mut command = folder.wharf(&["serve", "--addr", "127.0.0.1:0"]);
    command.env("SSL_CERT_FILE", trusted);
    Served::start(folder, command)
}

fn a_server_whose_authority_the_system_trusts_is_asked(guest: &str) {
    let certificates = Certificates::new();
    let (server, proxy) = (server(&certificates), proxy(guest, &certificates.ca));
    for host in ["localhost", "127.0.0.1"] {
        let answer = through(&proxy, &format!("https://{host}:{}/a", server.address.port()));
        assert_eq!(answer.status, 200, "{:?}", answer.headers);
        assert_eq!(answer.header("x-path"), "/a");
        assert_eq!(answer.header("x-echo-x-forwarded-proto"), "https");
    }
}

fn a_server_of_another_authority_is_not_asked(guest: &str) {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let server = server(&certificates);
    let target = format!("https://localhost:{}/", server.address.port());
    assert_eq!(refused(&proxy(guest, &others.ca), &target), "tls-certificate-error");
    // Where there is no authority at all, it is the system that is at fault.
    let nothing = others.ca.with_file_name("nothing.pem");
    assert_eq!(refused(&proxy(guest, &nothing), &target), "configuration-error");
}

fn a_certificate_is_for_its_names_alone(guest: &str) {
    let certificates = Certificates::new();
    let (server, proxy) = (server(&certificates), proxy(guest, &certificates.ca));
    // The server listens at one address; what it shows is of another than it is asked by.
    let elsewhere = format!("https://[::ffff:127.0.0.1]:{}/", server.address.port());
    assert_eq!(refused(&proxy, &elsewhere), "tls-certificate-error");
}
