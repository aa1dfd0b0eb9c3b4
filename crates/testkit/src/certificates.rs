//! Certificates for servers of this machine, made for one test.
#![expect(clippy::expect_used, reason = "it is how a test fails")]

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// PEM files: an authority, and what it signed for `127.0.0.1` and `localhost`.
pub struct Certificates {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The server's certificate.
    pub server: PathBuf,
    /// The server's key.
    pub server_key: PathBuf,
    /// A client's certificate, whose name is `client`.
    pub client: PathBuf,
    /// The client's key.
    pub client_key: PathBuf,
    _folder: TempDir,
}

impl Certificates {
    /// Makes an authority that nobody else has, and writes its files where every user may read.
    ///
    /// # Panics
    /// If there is no folder for them.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let all = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), all).expect("the folder is ours");
        let file = |name: &str| folder.path().join(name);
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let authority = params.self_signed(&key).expect("a certificate");
        write(&file("ca.pem"), &authority.pem());
        let issuer = Issuer::new(params, key);
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let server = (file("server.pem"), file("server-key.pem"));
        sign(&issuer, "server", names, ExtendedKeyUsagePurpose::ServerAuth, &server);
        let client = (file("client.pem"), file("client-key.pem"));
        sign(&issuer, "client", Vec::new(), ExtendedKeyUsagePurpose::ClientAuth, &client);
        Self {
            ca: file("ca.pem"),
            server: server.0,
            server_key: server.1,
            client: client.0,
            client_key: client.1,
            _folder: folder,
        }
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

fn sign(
    issuer: &Issuer<'_, KeyPair>,
    name: &str,
    names: Vec<String>,
    usage: ExtendedKeyUsagePurpose,
    (certificate, key): &(PathBuf, PathBuf),
) {
    let mut params = CertificateParams::new(names).expect("the names are right");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let pair = KeyPair::generate().expect("a key");
    let signed = params.signed_by(&pair, issuer).expect("a certificate");
    write(certificate, &signed.pem());
    write(key, &pair.serialize_pem());
}

fn write(path: &Path, pem: &str) {
    fs::write(path, pem).expect("the folder is ours");
}
