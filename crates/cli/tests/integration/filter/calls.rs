//! Filters that ask others before a request goes on.

use super::component;
use crate::support::client::{Connection, get, with};
use crate::support::deploy;
use crate::support::server::{Server, field, nobody, reply};
use std::net::SocketAddr;

fn asking(
    filter: &str,
    keys: &str,
    name: &str,
    endpoint: SocketAddr,
    upstream: &str,
) -> crate::support::Served {
    deploy(&format!(
        "name = \"asking\"\n[filter.f]\nsource = \"{filter}.wasm\"\n{keys}\n\
         [upstream.{name}]\nendpoints = [\"{endpoint}\"]\n{upstream}\n\
         [[http.route]]\nfilters = [\"f\"]\n{}",
        component()
    ))
}

pub(crate) mod filter_auth {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_request_passes_if_the_cluster_lets_it() {
        let server = Server::start(|request| async move {
            let token = request.headers().get("authorization").map(|it| it.as_bytes().to_vec());
            match token.as_deref() {
                Some(b"good") => field(reply(200, ""), "x-user", "ada"),
                Some(b"bad") => reply(403, "not you"),
                Some(b"odd") => reply(500, ""),
                Some(_) => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    reply(200, "")
                }
                None => field(reply(401, "who?"), "www-authenticate", "Basic"),
            }
        });
        let keys = "configuration = { timeout_ms = 500 }";
        let wharf = asking("filter-auth", keys, "auth", server.address, "");
        for connect in [Connection::http1, Connection::http2] {
            let mut connection = connect(wharf.address).unwrap();
            let mut ask = |token: Option<&str>| {
                let asked = with(get("/"), "x-user", "forged");
                let asked = match token {
                    Some(token) => with(asked, "authorization", token),
                    None => asked,
                };
                connection.send(asked).unwrap()
            };
            let good = ask(Some("good"));
            assert_eq!((good.status, good.header("x-echo-x-user")), (200, "ada"));
            let bad = ask(Some("bad"));
            assert_eq!((bad.status, bad.text().as_str()), (403, "not you"));
            let none = ask(None);
            assert_eq!((none.status, none.header("www-authenticate")), (401, "Basic"));
            assert_eq!(ask(Some("odd")).status, 503);
            assert_eq!(ask(Some("slow")).status, 503);
            assert_eq!(ask(Some("good")).status, 200);
        }
    }

    #[test]
    fn who_cannot_be_asked_lets_nobody_pass() {
        let wharf = asking("filter-auth", "", "auth", nobody(), "");
        assert_eq!(wharf.get("/").status, 503);
        let wharf = asking("filter-auth", "", "another", nobody(), "");
        assert_eq!(wharf.get("/").status, 503, "there is no such upstream");
    }

    #[test]
    fn many_ask_at_once() {
        let server = Server::start(|_| async { field(reply(200, ""), "x-user", "ada") });
        let wharf = asking("filter-auth", "", "auth", server.address, "");
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let mut connection = Connection::http1(wharf.address).unwrap();
                    for _ in 0..20 {
                        let answer = connection.send(get("/")).unwrap();
                        assert_eq!((answer.status, answer.header("x-echo-x-user")), (200, "ada"));
                    }
                });
            }
        });
        assert_eq!(server.requests(), 320);
    }

    #[test]
    fn a_client_that_goes_away_meanwhile_hurts_nobody() {
        let server = Server::start(|_| async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            field(reply(200, ""), "x-user", "ada")
        });
        let wharf = asking("filter-auth", "", "auth", server.address, "");
        for _ in 0..8 {
            let asked = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
            drop(crate::support::raw::exchange(wharf.address, asked, Duration::from_millis(50)));
        }
        assert_eq!(wharf.get("/").status, 200);
    }
}

pub(crate) mod filter_grpc {
    use super::*;
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};
    use http_types::{HeaderMap, HeaderValue, Response};

    /// A service that says the path back, or the status that the path is about.
    fn service() -> Server {
        Server::start(|request| async move {
            assert_eq!(request.uri().path(), "/test.Echo/Say");
            assert_eq!(request.headers().get("te").unwrap(), "trailers");
            assert_eq!(request.headers().get("x-from").unwrap(), "filter-grpc");
            let asked = request.into_body().collect().await.unwrap().to_bytes();
            let failed = asked.windows(5).any(|part| part == b"/fail");
            let mut trailers = HeaderMap::new();
            let status = if failed { "7" } else { "0" };
            trailers.insert("grpc-status", HeaderValue::from_static(status));
            let mut frames = vec![Ok(Frame::trailers(trailers))];
            if !failed {
                // In two parts, as a network may have it.
                let (one, two) = asked.split_at(3);
                let (one, two) = (Bytes::copy_from_slice(one), Bytes::copy_from_slice(two));
                frames.splice(0..0, [Ok(Frame::data(one)), Ok(Frame::data(two))]);
            }
            Response::new(BodyExt::boxed(StreamBody::new(futures::stream::iter(frames))))
        })
    }

    #[test]
    fn a_service_is_asked() {
        let server = service();
        let wharf = asking("filter-grpc", "", "grpc", server.address, "http2 = true");
        assert_eq!(wharf.get("/path").header("x-echo-x-grpc-answer"), "/path");
        let failed = wharf.get("/fail");
        assert_eq!((failed.status, failed.header("x-grpc-status")), (503, "7"));
        assert_eq!(wharf.get("/again").status, 200);
    }

    #[test]
    fn a_service_that_is_away_or_unknown_is_a_failure() {
        let wharf = asking("filter-grpc", "", "grpc", nobody(), "http2 = true");
        let failed = wharf.get("/");
        assert_eq!((failed.status, failed.header("x-grpc-status")), (503, "14"));
        let wharf = asking("filter-grpc", "", "another", nobody(), "http2 = true");
        assert_eq!(wharf.get("/").header("x-grpc-status"), "not called");
    }
}
