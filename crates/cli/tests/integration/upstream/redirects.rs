//! Redirects, which are followed only where that is asked for.

use super::gateway;
use crate::support::client::{Connection, post};
use crate::support::server::{Server, echo, field, reply};
use http_body_util::BodyExt as _;

/// Leads from `/N` to `/N-1`, and from `/to/STATUS` to `/end`.
fn leading() -> Server {
    Server::start(|request| async move {
        let path = request.uri().path().to_owned();
        if let Some(status) = path.strip_prefix("/to/") {
            let status = status.parse().unwrap();
            drop(request.into_body().collect().await);
            return field(reply(status, "elsewhere"), "location", "/end?x=y");
        }
        match path[1..].parse::<u32>() {
            Ok(0) | Err(_) => echo(request).await,
            Ok(number) => field(reply(302, ""), "location", &format!("{}", number - 1)),
        }
    })
}

#[test]
fn redirects_are_the_clients_unless_asked_for() {
    let server = leading();
    let answer = gateway(&[server.address], "").get("/1");
    assert_eq!((answer.status, answer.header("location")), (302, "0"));
}

#[test]
fn as_many_are_followed_as_the_file_says() {
    let server = leading();
    let wharf = gateway(&[server.address], "follow-redirects = 3");
    let answer = wharf.get("/3");
    assert_eq!((answer.status, answer.header("x-path")), (200, "/0"));
    let answer = wharf.get("/4");
    assert_eq!((answer.status, answer.header("location")), (302, "0"));
}

#[test]
fn method_and_body_go_along_as_the_status_says() {
    let server = leading();
    let wharf = gateway(&[server.address], "follow-redirects = 3");
    for (status, method, body) in [
        (301, "GET", ""),
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", "hi"),
        (308, "POST", "hi"),
    ] {
        for connect in [Connection::http1, Connection::http2] {
            let asked = post(&format!("/to/{status}"), "hi");
            let answer = connect(wharf.address).unwrap().send(asked).unwrap();
            let said = (answer.status, answer.header("x-method"), answer.header("x-path"));
            assert_eq!(said, (200, method, "/end?x=y"), "{status}");
            assert_eq!(answer.text(), body, "{status}");
            let length = answer.header("x-echo-content-length");
            assert_eq!(length, if body.is_empty() { "" } else { "2" }, "{status}");
        }
    }
    // A body that is gone cannot go along.
    let long = post("/to/307", vec![b'x'; 200_000]);
    let answer = Connection::http1(wharf.address).unwrap().send(long).unwrap();
    assert_eq!((answer.status, answer.header("location")), (307, "/end?x=y"));
}

#[test]
fn nobody_is_led_out_of_the_upstream() {
    let hidden = Server::start(echo);
    let location = format!("http://{}/", hidden.address);
    let led = location.clone();
    let server = Server::start(move |_| {
        let location = led.clone();
        async move { field(reply(302, ""), "location", &location) }
    });
    let answer = gateway(&[server.address], "follow-redirects = 3").get("/");
    assert_eq!((answer.status, answer.header("location")), (302, location.as_str()));
    assert_eq!(hidden.requests(), 0);
}
