//! What only HTTP/2 clients can do.

use super::{WITHIN, impatient, serves};
use crate::support::client::{Connection, beside, get, wait};
use crate::support::raw::Raw;
use crate::support::{Served, eventually, serve};
use h2::Reason;
use http_types::Request;
use std::time::Duration;
use tokio::net::TcpStream;

/// The first bytes of a connection, with empty settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// `GET /` as a block of fields, but for the end of its headers.
const BEGUN: &[u8] = &[0, 0, 4, 1, 0, 0, 0, 0, 1, 0x82, 0x84, 0x86, 0x41];

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// Sends frames until the server has had enough of them.
fn flood(wharf: &Served, frames: &[u8], at_most: usize) -> bool {
    let mut raw = Raw::connect(wharf.address);
    raw.send(HELLO);
    let many = frames.repeat(1000);
    for _ in 0..at_most / 1000 {
        if !raw.send(&many) || raw.listen(Duration::from_millis(1)).closed {
            return true;
        }
    }
    raw.listen(Duration::from_secs(5)).closed
}

#[test]
fn a_flood_of_resets_ends_its_connection_alone() {
    let wharf = serve("hello-p2");
    let mut good = Connection::http2(wharf.address).unwrap();
    assert_eq!(good.send(get("/")).unwrap().status, 200);
    let ended = wait(rapid_resets(&wharf));
    assert!(ended, "20,000 streams were begun and reset");
    assert_eq!(good.send(get("/")).unwrap().text(), "Hello, world");
    assert_eq!(Connection::http2(wharf.address).unwrap().send(get("/")).unwrap().status, 200);
}

/// Whether the server ended it.
async fn rapid_resets(wharf: &Served) -> bool {
    let stream = TcpStream::connect(wharf.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = beside(connection);
    for _ in 0..20_000 {
        let Ok(ready) = client.clone().ready().await else { break };
        client = ready;
        let request = Request::get("http://x/").body(()).unwrap();
        let Ok((_answer, mut stream)) = client.send_request(request, true) else { break };
        stream.send_reset(Reason::CANCEL);
        tokio::task::yield_now().await;
    }
    drop(client);
    let ended = tokio::time::timeout(WITHIN, connection).await.unwrap().unwrap();
    ended.is_err_and(|error| error.reason() == Some(Reason::ENHANCE_YOUR_CALM) || error.is_io())
}

#[test]
fn headers_without_an_end_are_cut_off() {
    let wharf = serve("hello-p2");
    let mut raw = Raw::connect(wharf.address);
    raw.send(HELLO);
    raw.send(BEGUN);
    let more = frame(9, 0, 1, &[0; 16_000]);
    let sent = (0..1000).take_while(|_| raw.send(&more)).count();
    assert!(raw.listen(WITHIN).closed, "open after {sent} frames");
    assert_eq!(wharf.get("/").status, 200);
}

#[test]
fn empty_frames_pings_and_settings_do_no_harm() {
    let wharf = serve("hello-p2");
    let ping = frame(6, 0, 0, &[1; 8]);
    let settings = frame(4, 0, 0, &[]);
    let continuation = [BEGUN, &frame(9, 0, 1, &[])].concat();
    for frames in [ping, settings, continuation] {
        let before = wharf.program.memory();
        // Whether it is ended or borne is the server's choice; it must not fill memory.
        let ended = flood(&wharf, &frames, 200_000);
        let grown = wharf.program.memory().saturating_sub(before);
        assert!(grown < 32 << 20, "it holds {grown} bytes more, ended: {ended}");
        assert_eq!(wharf.get("/").status, 200);
    }
}

#[test]
fn a_client_that_grants_no_window_is_dropped() {
    for guest in ["http-stream-p2", "http-stream-p3"] {
        let wharf = impatient(guest);
        let answer = wait(async {
            let stream = TcpStream::connect(wharf.address).await.unwrap();
            let mut builder = h2::client::Builder::new();
            let shake = builder.initial_window_size(0).handshake::<_, bytes::Bytes>(stream);
            let (client, connection) = shake.await.unwrap();
            drop(beside(connection));
            let mut client = client.ready().await.unwrap();
            let request = Request::get("http://x/bytes?n=100000000").body(()).unwrap();
            let (answer, _) = client.send_request(request, true).unwrap();
            (answer.await.unwrap(), client)
        });
        eventually("the guest runs", || {
            wharf.try_get("/bytes?n=3").is_ok_and(|it| it.status == 503).then_some(())
        });
        serves(&wharf);
        drop(answer);
    }
}

#[test]
fn whoever_only_says_hello_is_dropped() {
    let wharf = impatient("http-stream-p2");
    let mut raw = Raw::connect(wharf.address);
    raw.send(HELLO);
    assert!(raw.listen(WITHIN).closed);
}
