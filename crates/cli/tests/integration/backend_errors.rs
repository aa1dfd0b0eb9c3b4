//! What is told when what stands behind a binding fails, or cannot be used at all.

use crate::support::client::{Connection, beside, request, wait};
use crate::support::{Folder, deploy};
use http_body_util::{BodyExt as _, Full};
use http_types::{HeaderMap, HeaderValue, Response};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[test]
fn an_error_of_a_server_names_the_binding_the_host_and_the_cause() {
    let full = ["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"];
    let server = testkit::servers::redis_with(&full);
    let wharf = deploy(&format!(
        r#"
            name = "full"
            [component.web]
            source = "kv-draft2.wasm"
            keyvalue = ["orders"]
            [[http.route]]
            component = "web"
            [keyvalue]
            orders = "{}"
        "#,
        server.url()
    ));
    let put = |number: usize| {
        let body = Full::new(vec![b'x'; 1 << 20].into()).boxed();
        let path = format!("/put?b=orders&k={number}");
        Connection::http1(wharf.address).unwrap().send(request("PUT", &path, body)).unwrap()
    };
    let refused = (0..16).map(put).find(|answer| answer.status != 200);
    let said = refused.expect("there is no room for all of it").text();
    let named = format!("other: binding `orders`: redis {}: ", server.address());
    assert!(said.starts_with(&named) && said.contains("OOM"), "{said}");
}

/// What `wharf check` says of a binding on a server that is too old.
fn too_old(vendor: &str, address: SocketAddr, version: &str, needed: &str) {
    let folder = Folder::with(&format!(
        r#"
            name = "old"
            [component.web]
            source = "kv-draft2.wasm"
            [[http.route]]
            component = "web"
            [keyvalue]
            default = "{vendor}://{address}"
        "#
    ));
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    let said = format!("{vendor} {address} is version {version}, and {needed} is needed");
    assert!(ended.errors.contains(&said), "{}", ended.errors);
    let help = format!("help: update the server to {needed} or newer");
    assert!(ended.errors.contains(&help), "{}", ended.errors);
}

#[test]
fn a_server_that_is_too_old_is_told_with_what_to_do() {
    let address = beside_all(nats_2_8);
    too_old("nats", address, "2.8.4", "2.9");
    let address = beside_all(etcd_3_3);
    too_old("etcd", address, "3.3.27", "3.4");
}

/// Serves each connection like this, as long as the tests run.
fn beside_all<F>(serve: fn(TcpStream) -> F) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = wait(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    drop(beside(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(beside(serve(stream)));
        }
    }));
    address
}

/// As much as NATS 2.8.4 says before anything is asked of it.
async fn nats_2_8(stream: TcpStream) {
    const INFO: &str = concat!(
        r#"INFO {"server_id":"NDJQ","server_name":"NDJQ","version":"2.8.4","proto":1,"#,
        r#""git_commit":"66524ed","go":"go1.17.10","host":"127.0.0.1","port":4222,"#,
        r#""headers":true,"max_payload":1048576,"jetstream":true,"client_id":5,"#,
        r#""client_ip":"127.0.0.1"}"#,
        " \r\n"
    );
    let (from, mut to) = stream.into_split();
    to.write_all(INFO.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.split(' ').next() {
            Some("CONNECT") => {}
            Some("PING") => to.write_all(b"PONG\r\n").await.unwrap(),
            _ => panic!("it is asked for more: {line}"),
        }
    }
}

/// As much as etcd 3.3.27 says of itself: the answer to `Maintenance.Status`.
async fn etcd_3_3(stream: TcpStream) {
    // A header with the numbers of cluster, member, revision and term; then the version.
    const STATUS: &[u8] = b"\x0a\x08\x08\x01\x10\x02\x18\x01\x20\x02\x12\x063.3.27";
    // The client may hang up at any time.
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((asked, mut respond))) = connection.accept().await {
        assert_eq!(asked.uri().path(), "/etcdserverpb.Maintenance/Status");
        let head = Response::builder().header("content-type", "application/grpc");
        let mut body = respond.send_response(head.body(()).unwrap(), false).unwrap();
        let length = u32::try_from(STATUS.len()).unwrap().to_be_bytes();
        body.send_data([&[0], &length[..], STATUS].concat().into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        body.send_trailers(trailers).unwrap();
    }
}
