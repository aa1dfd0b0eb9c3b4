//! Properties, and foreign functions.

use crate::support::{Guest, Host, OUT, Shown, head, response, status, text};
use filter::{Attributes, Chain, Value, Way};
use std::sync::Arc;

struct Source;

impl Attributes for Source {
    fn get(&self, path: &[&str]) -> Option<Value> {
        match path {
            ["source", "address"] => Some(Value::text("192.0.2.1:9")),
            ["source", "port"] => Some(Value::Int(9)),
            ["connection", "mtls"] => Some(Value::Bool(true)),
            _ => None,
        }
    }
}

/// What a filter reads under these paths when the response is there.
fn read(paths: &[&str]) -> Vec<Shown> {
    let mut guest = Guest::new();
    let paths: Vec<_> = paths.iter().map(|path| guest.text(path.replace('.', "\0"))).collect();
    guest.on("proxy_on_response_headers", 3, Some(0), |call| {
        for path in paths {
            call.call("proxy_get_property", &[path.0, path.1, OUT, OUT + 4]);
            call.wat(&format!("(if (i32.load (i32.const {OUT})) (then"));
            call.show();
            call.wat("))");
            call.wat(&format!("(i32.store (i32.const {OUT}) (i32.const 0))"));
        }
    });
    let host = Host::with(&guest, |plugin| plugin.root_id = "my_root".into());
    let mut chain = Chain::http(&[Arc::clone(&host.seat)], Box::new(Source));
    chain.put_head(Way::Request, head(), false);
    chain.put_data(Way::Request, "abc".into(), true);
    chain.put_head(Way::Response, response(&[("grpc-status", "3")]), true);
    host.shown()
}

/// "Retrieves value of the property": text as it is, numbers in 8 bytes.
#[test]
fn what_is_known_of_a_stream_is_told() {
    let number = |number: u64| String::from_utf8_lossy(&number.to_le_bytes()).into_owned();
    for (path, value) in [
        ("request.path", "/path?q"),
        ("request.url_path", "/path"),
        ("request.query", "q"),
        ("request.host", "a.example"),
        ("request.method", "GET"),
        ("request.scheme", "http"),
        ("request.headers.x-a", "1"),
        ("request.size", &number(3)),
        ("response.code", &number(200)),
        ("response.grpc_status", &number(3)),
        ("source.address", "192.0.2.1:9"),
        ("source.port", &number(9)),
        ("connection.mtls", "\u{1}"),
        ("plugin_name", "tested"),
        ("plugin_root_id", "my_root"),
        ("xds.node", "a node"),
    ] {
        assert_eq!(read(&[path]), [status(0), text(value)], "{path}");
        assert_eq!(read(&[&format!("{path}.")]), [status(0), text(value)], "{path} and a NUL");
    }
}

/// "`NOT_FOUND` when there was no property found at the requested `path`."
#[test]
fn what_is_not_known_is_not_found() {
    let paths = ["request", "request.nothing", "response.trailers", "nothing", "plugin_vm_id.x"];
    assert_eq!(read(&paths), vec![status(1); 5]);
    // A value may be empty.
    assert_eq!(read(&["plugin_vm_id"]), [status(0)]);
}

/// Envoy answers so for a path without a name.
#[test]
fn an_empty_path_is_an_error() {
    assert_eq!(read(&[""]), [status(3)]);
}

/// "Sets value of the property to the provided value": with the stream, for all its filters.
#[test]
fn a_property_is_set_for_the_stream() {
    let mut guest = Guest::new();
    let [path, value] = ["my\0own", "good"].map(|it| guest.text(it));
    guest.on_request(|call| {
        call.call("proxy_get_property", &[path.0, path.1, OUT, OUT + 4]);
        call.call("proxy_set_property", &[path.0, path.1, value.0, value.1]);
    });
    guest.on("proxy_on_response_headers", 3, Some(0), |call| {
        call.call("proxy_get_property", &[path.0, path.1, OUT, OUT + 4]).show();
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    chain.put_head(Way::Response, response(&[]), true);
    assert_eq!(host.shown(), [status(1), status(0), status(0), text("good")]);
    // The next stream has its own.
    assert_eq!(host.request()[0], status(1));
}

/// What filters set is bounded.
#[test]
fn properties_take_so_much_and_no_more() {
    let mut guest = Guest::new();
    let path = guest.text("big");
    guest.on_request(|call| {
        call.call("proxy_set_property", &[path.0, path.1, 0, 60 << 10]);
        call.call("proxy_set_property", &[path.0, path.1, 0, 60 << 10]);
        call.call("proxy_set_property", &[path.0, path.1 - 1, 0, 60 << 10]);
    });
    assert_eq!(Host::new(&guest).request(), [0, 0, 10].map(status));
}

/// "Calls registered foreign function with arguments. Return values are optional. `NOT_FOUND` when
/// the requested function was not found."
#[test]
fn a_foreign_function_is_called_by_its_name() {
    let mut guest = Guest::new();
    let [name, unknown, clear, argument] =
        ["twice", "nothing", "clear_route_cache", "ab"].map(|it| guest.text(it));
    guest.on_request(|call| {
        let mut foreign = |name: crate::support::Text, data, size| {
            let with = [name.0, name.1, argument.0, argument.1, data, size];
            call.call("proxy_call_foreign_function", &with);
        };
        foreign(unknown, OUT, OUT + 4);
        foreign(clear, 0, 0);
        foreign(name, 0, 0);
        foreign(name, OUT, OUT + 4);
        call.show();
    });
    let expected = [status(1), status(0), status(0), status(0), text("abab")];
    assert_eq!(Host::new(&guest).request(), expected);
}

/// "Called when a registered foreign callback `function_id` is called."
#[test]
fn the_host_calls_a_foreign_function() {
    let mut guest = Guest::new();
    guest.on("proxy_on_foreign_function", 3, None, |call| {
        for index in 0..3 {
            call.show_argument(index);
        }
        call.call("proxy_get_buffer_bytes", &[8, 0, 100, OUT, OUT + 4]).show();
    });
    let host = Host::new(&guest);
    let running = host.running();
    filter::lock(&running.vm).foreign(running.root, 7, "args".into()).unwrap();
    assert_eq!(host.shown(), [status(1), status(7), status(4), status(0), text("args")]);
}
