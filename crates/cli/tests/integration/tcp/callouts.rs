//! Network filters that ask others: requests of HTTP, calls and streams of gRPC.

use super::{Served, file, marked};
use crate::support::server::{Server, nobody, reply};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use http_types::{HeaderMap, HeaderValue, Response};
use std::net::SocketAddr;
use std::time::Duration;

/// The filter that does what a script says, with an upstream that it may ask.
fn scripted(script: &str, asked: SocketAddr) -> Served {
    let filter = format!(
        "[filter.f]\nsource = \"filter-probe.wasm\"\nroot-id = \"probe\"\n\
         configuration = '''\ntrace\n{script}\n'''\n\
         [upstream.asked]\nendpoints = [\"{asked}\"]\nhttp2 = true\n"
    );
    Served::start(&(file(&[marked("welcome")], "filters = [\"f\"]") + &filter))
}

/// The end of an answer of gRPC.
fn ended(status: &'static str, message: &'static str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    trailers.insert("grpc-message", HeaderValue::from_static(message));
    Frame::trailers(trailers)
}

/// A service whose `Say` says back, whose `Deny` denies, and whose `Chat` says each message back as
/// it comes, and then the end.
fn service() -> Server {
    Server::start(|request| async move {
        let path = request.uri().path().to_owned();
        assert_eq!(request.headers()["te"], "trailers");
        if path == "/test.Echo/Chat" {
            let body = request.into_body().into_data_stream();
            let said = futures::StreamExt::map(body, |data| data.map(Frame::data));
            let end = futures::stream::iter([Ok(ended("0", "bye"))]);
            let all = futures::StreamExt::chain(said, end);
            let mut response = Response::new(BodyExt::boxed(StreamBody::new(all)));
            let kind = HeaderValue::from_static("chat");
            response.headers_mut().insert("x-kind", kind);
            return response;
        }
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        let frames = match path.as_str() {
            "/test.Echo/Say" => vec![Ok(Frame::data(asked)), Ok(ended("0", ""))],
            "/test.Echo/Slow" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Vec::new()
            }
            _ => vec![Ok(ended("7", "not you"))],
        };
        Response::new(BodyExt::boxed(StreamBody::new(futures::stream::iter(frames))))
    })
}

/// Lets the connection go on that the script belongs to.
const GO_ON: &str = "proxy_set_effective_context ctx\nproxy_continue_stream 2";
/// Closes it.
const CLOSE: &str = "proxy_set_effective_context ctx\nproxy_close_stream 2";

/// A script that asks with `call` when a connection is new, and goes on with a message or closes.
fn asking(call: &str) -> String {
    format!(
        "@new_connection\n{call}\nreturn 1\n\
         @grpc_receive\nproxy_get_buffer_bytes 5 0 $2 >>\n{GO_ON}\n\
         @grpc_close\nproxy_get_status >a >>\n{CLOSE}"
    )
}

#[test]
fn a_call_of_grpc_lets_a_connection_go_on_or_closes_it() {
    let service = service();
    let call = "proxy_grpc_call \"asked\" \"test.Echo\" \"METHOD\" {x-from=tcp} \"hello\" 5000 >c";
    let wharf = scripted(&asking(&call.replace("METHOD", "Say")), service.address);
    let mut client = wharf.connect();
    client.say("early");
    client.hears("welcomeearly");
    wharf.program.wait_for("on grpc_receive 1 5 5");
    wharf.program.wait_for("proxy_get_buffer_bytes -> 0 \"hello\"");
    let wharf = scripted(&asking(&call.replace("METHOD", "Deny")), service.address);
    assert_eq!(wharf.connect().rest(), "");
    wharf.program.wait_for("on grpc_close 1 5 7");
    wharf.program.wait_for("proxy_get_status -> 0 7 \"not you\"");
    // One that takes too long, and one that nobody answers.
    let slow = call.replace("METHOD", "Slow").replace("5000", "100");
    let wharf = scripted(&asking(&slow), service.address);
    assert_eq!(wharf.connect().rest(), "");
    wharf.program.wait_for("on grpc_close 1 5 4");
    let wharf = scripted(&asking(&call.replace("METHOD", "Say")), nobody());
    assert_eq!(wharf.connect().rest(), "");
    wharf.program.wait_for("on grpc_close 1 5 14");
}

#[test]
fn a_stream_of_grpc_goes_along_with_a_connection() {
    let service = service();
    let script = format!(
        "@new_connection\nproxy_grpc_stream \"asked\" \"test.Echo\" \"Chat\" {{}} >s\nreturn 1\n\
         @grpc_receive_initial_metadata\nproxy_get_header_map_value 4 \"x-kind\" >>\n{GO_ON}\n\
         @downstream_data\nproxy_grpc_send $s \"a piece\" 0\n\
         @grpc_receive\nproxy_get_buffer_bytes 5 0 $2 >>\n\
         @downstream_connection_close\nproxy_grpc_send $s \"the last\" 1\n\
         @grpc_receive_trailing_metadata\nproxy_get_header_map_value 5 \"grpc-message\" >>\n\
         @grpc_close\nproxy_get_status >a >>"
    );
    let wharf = scripted(&script, service.address);
    let mut client = wharf.connect();
    client.hears("welcome");
    wharf.program.wait_for("proxy_get_header_map_value -> 0 \"chat\"");
    client.gets("one", "one");
    wharf.program.wait_for("proxy_get_buffer_bytes -> 0 \"a piece\"");
    client.done();
    assert_eq!(client.rest(), "");
    // The stream is the plugin's: it outlasts the connection, to its end.
    wharf.program.wait_for("proxy_get_buffer_bytes -> 0 \"the last\"");
    wharf.program.wait_for("proxy_get_header_map_value -> 0 \"bye\"");
    wharf.program.wait_for("proxy_get_status -> 0 0 \"bye\"");
}

#[test]
fn a_stream_of_grpc_is_cancelled_and_nothing_more_is_heard_of_it() {
    let service = service();
    let script = format!(
        "@new_connection\nproxy_grpc_stream \"asked\" \"test.Echo\" \"Chat\" {{}} >s\n\
         proxy_grpc_send $s \"hello\" 0\nreturn 1\n\
         @grpc_receive\nproxy_grpc_cancel $s\nproxy_grpc_send $s \"late\" 0\n{GO_ON}"
    );
    let wharf = scripted(&script, service.address);
    wharf.connect().hears("welcome");
    wharf.program.wait_for("proxy_grpc_cancel -> 0");
    wharf.program.wait_for("proxy_grpc_send -> 1");
    wharf.have_ended("filtered", 0);
    let log = wharf.program.errors().join("\n");
    assert!(!log.contains("on grpc_close"), "{log}");
}

#[test]
fn a_request_that_fails_or_takes_too_long_is_heard_of() {
    let slow = Server::start(|_| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        reply(200, "")
    });
    for (server, millis, status) in [(slow.address, 100, "504"), (nobody(), 5000, "503")] {
        let script = format!(
            "@new_connection\nproxy_http_call \"asked\" \
             {{:method=GET|:path=/check|:authority=asked}} \"\" {{}} {millis} >c\nreturn 1\n\
             @http_call_response\nproxy_get_header_map_value 6 \":status\" >>\n{CLOSE}"
        );
        let wharf = scripted(&script, server);
        assert_eq!(wharf.connect().rest(), "");
        wharf.program.wait_for(&format!("proxy_get_header_map_value -> 0 \"{status}\""));
        wharf.program.wait_for("on delete 2");
    }
}

#[test]
fn a_client_may_leave_while_its_filter_asks() {
    let server = Server::start(|_| async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        reply(200, "")
    });
    let script = format!(
        "@new_connection\nproxy_http_call \"asked\" \
         {{:method=GET|:path=/check|:authority=asked}} \"\" {{}} 5000 >c\nreturn 1\n\
         @http_call_response\n{GO_ON}"
    );
    let wharf = scripted(&script, server.address);
    let client = wharf.connect();
    wharf.program.wait_for("on new_connection 2");
    drop(client);
    // The answer may come before it is seen that the client is gone, or after.
    wharf.program.wait_for("on delete 2");
    wharf.program.wait_for("on http_call_response 1 4 ");
    let log = wharf.program.errors().join("\n");
    assert!(!log.contains("a filter failed"), "{log}");
    wharf.connect().hears("welcome");
}
