//! Foreign functions of Envoy: zlib, signatures, what is left with a stream.

use crate::support::{Body, Guest, Host, OUT, Shown, Text, status, text};
use prost::Message;
use std::io::Write as _;

/// A guest whose requests do this, and what it showed of one.
fn request(body: impl FnOnce(&mut Body<'_>)) -> Vec<Shown> {
    let mut guest = Guest::new();
    guest.on_request(body);
    Host::new(&guest).request()
}

/// Calls a foreign function; its answer and what it gave are shown.
pub(crate) fn call(body: &mut Body<'_>, name: &str, arguments: impl AsRef<[u8]>) {
    let Text(at, size) = body.text(arguments);
    with(body, name, &format!("(i32.const {at}) (i32.const {size})"));
    body.show();
}

/// Calls a foreign function with arguments that stand where the two pieces of WAT say.
pub(crate) fn with(body: &mut Body<'_>, name: &str, arguments: &str) {
    let Text(at, size) = body.text(name);
    // So that it is imported.
    body.quietly("proxy_call_foreign_function", &[0, 0, 0, 0, 0, 0]);
    body.show_number(&format!(
        "(call $proxy_call_foreign_function (i32.const {at}) (i32.const {size}) {arguments}
            (i32.const {OUT}) (i32.const {}))",
        OUT + 4
    ));
}

/// What the last function gave.
pub(crate) fn given() -> String {
    format!("(i32.load (i32.const {OUT})) (i32.load (i32.const {}))", OUT + 4)
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `compress` and `uncompress`: the bytes come back as they were.
#[test]
fn what_is_compressed_is_uncompressed() {
    let shown = request(|body| {
        let Text(at, size) = body.text("again and ".repeat(100));
        with(body, "compress", &format!("(i32.const {at}) (i32.const {size})"));
        body.show_number(&format!("(i32.lt_u (i32.load (i32.const {})) (i32.const 100))", OUT + 4));
        with(body, "uncompress", &given());
        body.show();
        call(body, "uncompress", zlib(b"by another"));
        call(body, "uncompress", [&zlib(b"an end")[..], b"more"].concat());
    });
    let expected = [
        [status(0), status(1)].to_vec(),
        [status(0), text(&"again and ".repeat(100))].to_vec(),
        [status(0), text("by another")].to_vec(),
        [status(0), text("an end")].to_vec(),
    ];
    assert_eq!(shown, expected.concat());
}

/// What was not compressed, or was cut off, is refused; so is what would become too much.
#[test]
fn what_cannot_be_uncompressed_is_refused() {
    let whole = zlib(b"something");
    let bomb = zlib(&vec![0; 40 << 20]);
    let shown = request(|body| {
        for arguments in [b"nonsense".as_slice(), b"", &whole[..whole.len() - 6], &bomb] {
            let Text(at, size) = body.text(arguments);
            with(body, "uncompress", &format!("(i32.const {at}) (i32.const {size})"));
        }
    });
    assert_eq!(shown, [3, 3, 3, 10].map(status));
    // The bound is the filter's own.
    let mut guest = Guest::new();
    guest.on_request(|body| call(body, "uncompress", zlib(&vec![b'a'; 100_000])));
    let shown = Host::with(&guest, |plugin| plugin.limits.buffer = 10).request();
    assert_eq!(shown[0], status(10));
    // It may have it, and has no room for it.
    assert_eq!(Host::new(&guest).request()[0], status(6));
}

#[derive(Clone, PartialEq, Message)]
struct Verify {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
    #[prost(string, tag = "5")]
    public_key_pem: String,
}

/// What `verify_signature` answers, and what it gives where it gives something: whether the
/// signature is good, and why not.
fn verify(arguments: &[u8]) -> (Shown, bool, String) {
    let shown = request(|body| {
        call(body, "verify_signature", arguments);
    });
    let [answer, Shown::Text(text)] = &shown[..] else { panic!("{shown:?}") };
    let (good, error) = match text.strip_prefix("\u{8}\u{1}") {
        Some(rest) => (true, rest.to_owned()),
        None => (false, text.chars().skip(2).collect()),
    };
    (answer.clone(), good, error)
}

const SIGNED: &str = "what is signed";

fn verified(hash: &str, key: &str, signature: &[u8], text: &str) -> (Shown, bool, String) {
    let it = Verify {
        hash_function: hash.to_owned(),
        public_key_pem: key.to_owned(),
        signature: signature.to_vec(),
        text: text.as_bytes().to_vec(),
        ..Verify::default()
    };
    verify(&it.encode_to_vec())
}

const RSA: &str = include_str!("../fixtures/rsa.pub.pem");
const P256: &str = include_str!("../fixtures/p256.pub.pem");

/// `verify_signature`: signatures that another library made.
#[test]
fn signatures_are_looked_at() {
    let sha1: &[u8] = include_bytes!("../fixtures/rsa.sha1.sig");
    let sha256: &[u8] = include_bytes!("../fixtures/rsa.sha256.sig");
    let sha384: &[u8] = include_bytes!("../fixtures/rsa.sha384.sig");
    let sha512: &[u8] = include_bytes!("../fixtures/rsa.sha512.sig");
    let p256: &[u8] = include_bytes!("../fixtures/p256.sha256.sig");
    let good = (status(0), true, String::new());
    for (hash, key, signature) in [
        ("sha1", RSA, sha1),
        ("sha256", RSA, sha256),
        ("SHA256", RSA, sha256),
        ("sha384", RSA, sha384),
        ("sha512", RSA, sha512),
        ("sha256", P256, p256),
    ] {
        assert_eq!(verified(hash, key, signature, SIGNED), good, "{hash}");
        let (answer, is_good, error) = verified(hash, key, signature, "another text");
        assert_eq!((answer, is_good), (status(0), false), "{hash}");
        assert_eq!(error, "Failed to verify digest.", "{hash}");
    }
    let (answer, is_good, error) = verified("md5", RSA, sha256, SIGNED);
    assert_eq!((answer, is_good, &*error), (status(0), false, "md5 is not supported."));
    assert!(!verified("sha256", RSA, b"", SIGNED).1);
    assert!(!verified("sha512", RSA, sha256, SIGNED).1);
}

/// What is no key, or two of them, is no argument.
#[test]
fn what_is_no_key_is_refused() {
    let none = Verify { hash_function: "sha256".to_owned(), ..Verify::default() };
    let both = Verify { public_key: vec![1], public_key_pem: RSA.to_owned(), ..none.clone() };
    let bad = Verify { public_key: b"no key".to_vec(), ..none.clone() };
    let pem = Verify { public_key_pem: "-----BEGIN".to_owned(), ..none.clone() };
    for arguments in [none, both, bad, pem] {
        let arguments = arguments.encode_to_vec();
        assert_eq!(verify(&arguments).0, status(2), "{arguments:?}");
    }
    assert_eq!(verify(b"\xff\xff\xff").0, status(2));
}

#[derive(Clone, PartialEq, Message)]
struct Sign {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    private_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    text: Vec<u8>,
    #[prost(string, tag = "4")]
    private_key_pem: String,
}

/// `sign`: RSA always signs the same text alike, so it is what another library made.
#[test]
fn texts_are_signed() {
    let sign = |hash: &str, key: &str, size: u32| {
        let it = Sign {
            hash_function: hash.to_owned(),
            private_key_pem: key.to_owned(),
            text: SIGNED.into(),
            ..Sign::default()
        };
        request(|body| {
            call(body, "sign", it.encode_to_vec());
            // Whether it is long enough to hold a signature, and its first words.
            body.show_number(&format!(
                "(i32.gt_u (i32.load (i32.const {})) (i32.const {size}))",
                OUT + 4
            ));
            body.show_number(&format!("(i32.load offset=8 (i32.load (i32.const {OUT})))"));
        })
    };
    let rsa = include_str!("../fixtures/rsa.pem");
    let p256 = include_str!("../fixtures/p256.pem");
    let expected: &[u8] = include_bytes!("../fixtures/rsa.sha256.sig");
    // A message of `result`, then 256 bytes: the fourth of these is the eighth of all.
    let word = u32::from_le_bytes(expected[3..7].try_into().unwrap());
    let shown = sign("sha256", rsa, 256);
    assert_eq!(shown[0], status(0));
    assert_eq!(shown[2..], [status(1), status(word)]);
    let shown = sign("sha256", p256, 60);
    assert_eq!([&shown[0], &shown[2]], [&status(0), &status(1)]);
    let shown = sign("md5", rsa, 256);
    assert_eq!(shown[..2], [status(0), text("\u{1a}\u{15}md5 is not supported.")]);
    assert_eq!(sign("sha256", RSA, 0)[0], status(2), "a public key signs nothing");
}

#[derive(Clone, PartialEq, Message)]
struct Declare {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    readonly: bool,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(bytes = "vec", tag = "4")]
    schema: Vec<u8>,
    #[prost(int32, tag = "5")]
    span: i32,
}

fn declare(name: &str, readonly: bool, span: i32) -> Vec<u8> {
    let it = Declare { name: name.to_owned(), readonly, span, ..Declare::default() };
    it.encode_to_vec()
}

/// `declare_property`: once for a name; what is only read is set once for a stream.
#[test]
fn a_property_that_is_only_read_is_set_once() {
    let mut guest = Guest::new();
    let [name, other, value] = ["once", "often", "v"].map(|it| guest.text(it));
    guest.on("proxy_on_configure", 2, Some(1), |body| {
        for arguments in [
            declare("once", true, 1),
            declare("often", false, 0),
            declare("once", false, 0),
            declare("", false, 0),
            declare("with the connection", false, 2),
            b"\xff".to_vec(),
        ] {
            let Text(at, size) = body.text(arguments);
            with(body, "declare_property", &format!("(i32.const {at}) (i32.const {size})"));
        }
    });
    guest.on_request(|body| {
        for path in [name, name, other, other] {
            body.call("proxy_set_property", &[path.0, path.1, value.0, value.1]);
        }
    });
    let host = Host::new(&guest);
    assert_eq!(host.shown(), [0, 0, 2, 2, 2, 2].map(status));
    // Each stream has its own.
    assert_eq!(host.request(), [0, 2, 0, 0].map(status));
    assert_eq!(host.request(), [0, 2, 0, 0].map(status));
}

/// So many may be declared and no more.
#[test]
fn declarations_are_bounded() {
    let mut guest = Guest::new();
    guest.on("proxy_on_configure", 2, Some(1), |body| {
        for number in 0..257 {
            let Text(at, size) = body.text(declare(&format!("p{number}"), false, 0));
            with(body, "declare_property", &format!("(i32.const {at}) (i32.const {size})"));
        }
    });
    let shown = Host::new(&guest).shown();
    assert_eq!(shown[..256], vec![status(0); 256]);
    assert_eq!(shown[256], status(10));
}

#[derive(Clone, PartialEq, Message)]
struct SetState {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(int32, tag = "3")]
    span: i32,
}

/// `set_envoy_filter_state`: kept with the stream.
#[test]
fn state_is_left_with_a_stream() {
    let state = |path: &str, span| {
        let (path, value) = (path.to_owned(), "good".to_owned());
        SetState { path, value, span }.encode_to_vec()
    };
    let mut guest = Guest::new();
    let path = guest.text("filter_state\0my.key");
    guest.on("proxy_on_configure", 2, Some(1), |body| {
        call(body, "set_envoy_filter_state", state("my.key", 0));
    });
    guest.on_request(|body| {
        body.call("proxy_get_property", &[path.0, path.1, OUT, OUT + 4]);
        for arguments in [state("my.key", 1), state("my.key", 2), state("", 0), vec![0xff]] {
            let Text(at, size) = body.text(arguments);
            with(body, "set_envoy_filter_state", &format!("(i32.const {at}) (i32.const {size})"));
        }
        body.call("proxy_get_property", &[path.0, path.1, OUT, OUT + 4]).show();
    });
    let host = Host::new(&guest);
    assert_eq!(host.shown()[0], status(1), "there is no stream");
    let shown = host.request();
    assert_eq!(shown[..6], [1, 0, 2, 2, 2, 0].map(status));
    assert_eq!(shown[6], text("good"));
}
