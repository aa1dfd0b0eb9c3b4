//! Which of several components answers.

use crate::support::client::{Connection, get, request, with};
use crate::support::{Served, deploy};
use http_body_util::{BodyExt as _, Empty};

const ROUTES: &str = r#"
    name = "routes"
    [component.hello]
    source = "hello-p2.wasm"
    [component.paths]
    source = "hello-c.wasm"
    [component.three]
    source = "hello-p3.wasm"
    [component.echo]
    source = "http-echo-p3.wasm"

    [[http.route]]
    path = "/"
    component = "paths"
    [[http.route]]
    path = "/api"
    component = "hello"
    [[http.route]]
    path = "/api/echo"
    component = "echo"
    [[http.route]]
    host = "exact.example.com"
    path = "/only"
    component = "three"
    [[http.route]]
    host = "*.example.com"
    component = "echo"
"#;

/// Who answers at a host.
fn who(wharf: &Served, host: &str, path: &str) -> &'static str {
    let mut connection = Connection::http1(wharf.address).unwrap();
    let answer = connection.send(with(get(path), "host", host)).unwrap();
    assert_eq!(answer.status, 200, "{host}{path}: {}", answer.text());
    match answer.text().as_str() {
        "Hello, world" => "hello",
        "" if answer.header("x-path") == path => "echo",
        text if text == format!("Hello from C, you asked for {path}") => "paths",
        other => panic!("{host}{path}: {other}"),
    }
}

#[test]
fn the_longest_path_wins_in_whole_segments() {
    let wharf = deploy(ROUTES);
    for (path, expected) in [
        ("/", "paths"),
        ("/ap", "paths"),
        ("/apis", "paths"),
        ("/api", "hello"),
        ("/api/", "hello"),
        ("/api/x?y=/api/echo", "hello"),
        ("/api/echo", "echo"),
        ("/api/echo/x?y", "echo"),
        ("/api/echoes", "hello"),
        ("/API", "paths"),
    ] {
        assert_eq!(who(&wharf, "anyone", path), expected, "{path}");
    }
}

#[test]
fn the_host_decides_first() {
    let wharf = deploy(ROUTES);
    for (host, path, expected) in [
        ("exact.example.com", "/only/x", "hello"),
        ("EXACT.example.com:8080", "/only", "hello"),
        // What its own routes leave open goes to the next wider host.
        ("exact.example.com", "/", "echo"),
        ("other.example.com", "/only", "echo"),
        ("a.b.example.com", "/api", "echo"),
        ("example.com", "/api", "hello"),
        ("badexample.com", "/", "paths"),
        ("127.0.0.1", "/", "paths"),
    ] {
        assert_eq!(who(&wharf, host, path), expected, "{host}{path}");
    }
}

#[test]
fn http2_is_routed_alike() {
    let wharf = deploy(ROUTES);
    let mut connection = Connection::http2(wharf.address).unwrap();
    let answer = connection.send(with(get("/only"), "host", "other.example.com")).unwrap();
    assert_eq!(answer.header("x-authority"), "other.example.com");
    let answer = connection.send(with(get("/api"), "host", "example.com")).unwrap();
    assert_eq!(answer.text(), "Hello, world");
}

#[test]
fn where_no_route_leads_is_404() {
    let wharf = deploy(
        r#"
            name = "narrow"
            [component.web]
            source = "hello-p2.wasm"
            [[http.route]]
            host = "one.example.com"
            path = "/here"
            component = "web"
        "#,
    );
    let mut connection = Connection::http1(wharf.address).unwrap();
    for (host, path, status) in [
        ("one.example.com", "/here", 200),
        ("one.example.com", "/there", 404),
        ("two.example.com", "/here", 404),
    ] {
        let answer = connection.send(with(get(path), "host", host)).unwrap();
        assert_eq!(answer.status, status, "{host}{path}");
    }
}

#[test]
fn a_route_may_answer_by_itself() {
    let wharf = deploy(
        r#"
        name = "answers"
        [[http.route]]
        path = "/old"
        respond = { status = 308, headers = { location = "/new", x-a = "b" } }
        [[http.route]]
        path = "/"
        respond = { status = 404, body = "nothing here\n" }
        "#,
    );
    let mut connection = Connection::http1(wharf.address).unwrap();
    let answer = connection.send(get("/old/x")).unwrap();
    assert_eq!(
        (answer.status, answer.header("location"), answer.header("x-a")),
        (308, "/new", "b")
    );
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("", "0"));
    assert!(!answer.header("x-request-id").is_empty());
    let answer = connection.send(get("/else")).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (404, "nothing here\n"));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    let answer = connection.send(request("HEAD", "/else", Empty::new().boxed())).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (404, ""));
    assert_eq!(answer.header("content-length"), "13");
}
