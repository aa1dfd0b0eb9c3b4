//! What filters learn of the connection and of the server that answered.

use crate::support::Folder;
use crate::support::client::{Connection, get};
use crate::support::server::{Server, echo};
use crate::tls::{identity, trusting};

/// A filter that tells the client what it knows under these paths, in fields `x-0`, `x-1` …
fn telling(paths: &[&str]) -> Vec<u8> {
    let (mut data, mut calls) = (String::new(), String::new());
    for (index, path) in paths.iter().enumerate() {
        let (at, size) = (1024 + index * 128, path.len());
        let escaped = path.replace('.', "\\00");
        data += &format!("(data (i32.const {at}) \"{escaped}\")");
        data += &format!("(data (i32.const {}) \"x-{index}\")", at + 100);
        calls +=
            &format!("(call $tell (i32.const {at}) (i32.const {size}) (i32.const {}))", at + 100);
    }
    let module = format!(
        "(module
            (import \"env\" \"proxy_get_property\"
                (func $get (param i32 i32 i32 i32) (result i32)))
            (import \"env\" \"proxy_add_header_map_value\"
                (func $add (param i32 i32 i32 i32 i32) (result i32)))
            (memory (export \"memory\") 2)
            (global $top (mut i32) (i32.const 65536))
            {data}
            (func (export \"proxy_abi_version_0_2_1\"))
            (func (export \"malloc\") (param i32) (result i32)
                (global.set $top (i32.add (global.get $top) (local.get 0)))
                (i32.sub (global.get $top) (local.get 0)))
            (func $tell (param i32 i32 i32)
                (if (i32.eqz (call $get (local.get 0) (local.get 1) (i32.const 64) (i32.const 68)))
                    (then (drop (call $add (i32.const 2) (local.get 2) (i32.const 3)
                        (i32.load (i32.const 64)) (i32.load (i32.const 68)))))))
            (func (export \"proxy_on_response_headers\") (param i32 i32 i32) (result i32)
                {calls}
                (i32.const 0)))"
    );
    wat::parse_str(&module).unwrap()
}

const PATHS: &[&str] = &[
    "destination.address",
    "connection.tls_version",
    "connection.requested_server_name",
    "upstream.address",
    "xds.cluster_name",
];

fn file(target: &str, tls: &str) -> String {
    format!(
        "name = \"told\"\n[http]\n{tls}\n[filter.f]\nsource = \"telling.filter\"\n\
         [[http.route]]\nfilters = [\"f\"]\n{target}\n"
    )
}

#[test]
fn a_filter_learns_of_both_connections() {
    let server = Server::start(echo);
    let target = format!("upstream = \"up\"\n[upstream.up]\nendpoints = [\"{}\"]", server.address);
    let folder = Folder::with(&file(&target, "tls = { cert = \"cert.pem\", key = \"key.pem\" }"));
    folder.write("telling.filter", telling(PATHS));
    let certificate = identity(&folder);
    let wharf = folder.serve(&[]);
    let config = trusting(&certificate, &["h2"]);
    let answer = Connection::tls(wharf.address, config).unwrap().send(get("/")).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-0"), wharf.address.to_string());
    assert_eq!((answer.header("x-1"), answer.header("x-2")), ("TLSv1.3", "localhost"));
    assert_eq!((answer.header("x-3"), answer.header("x-4")), (&*server.address.to_string(), "up"));
}

#[test]
fn a_filter_before_a_component_learns_of_no_server() {
    let folder = Folder::with(&file(&super::component(), ""));
    folder.write("telling.filter", telling(PATHS));
    let wharf = folder.serve(&[]);
    let answer = wharf.get("/");
    assert_eq!((answer.status, answer.header("x-0")), (200, &*wharf.address.to_string()));
    for name in ["x-1", "x-2", "x-3", "x-4"] {
        assert!(!answer.headers.contains_key(name), "{name}: {:?}", answer.headers);
    }
}
