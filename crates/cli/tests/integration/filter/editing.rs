//! Headers, bodies and trailers on their way through filters.

use super::{before_component, before_upstream};
use crate::support::client::{Connection, get, pieces, post, request, with};
use crate::support::server::{Server, echo};
use http_body::Frame;
use http_types::{HeaderMap, HeaderValue};

pub(crate) mod filter_add {
    #[test]
    fn each_answer_has_its_header() {
        let wharf = super::before_component("filter-add", "");
        let answer = wharf.get("/");
        assert_eq!(answer.status, 200);
        assert!(!answer.header("x-filter").is_empty(), "{:?}", answer.headers);
    }
}

pub(crate) mod filter_add_bare {
    #[test]
    fn each_answer_has_its_header() {
        let wharf = super::before_component("filter-add-bare", "");
        assert!(!wharf.get("/").header("x-filter").is_empty());
    }
}

pub(crate) mod filter_calls {
    #[test]
    fn every_call_works_as_often_as_it_is_made() {
        for call in ["log", "count", "time", "get", "miss", "replace", "property"] {
            let keys = format!("configuration = \"{call} 300\"");
            let answer = super::before_component("filter-calls", &keys).get("/");
            assert_eq!((answer.status, answer.header("x-calls")), (200, "300"), "{call}");
        }
    }
}

pub(crate) mod filter_headers {
    use super::*;

    /// On one line in the file.
    const KEYS: &str = r#"configuration = {
        request = { remove = ["x-gone"], set = [["x-set", "new"]], add = [["x-add", "2"]] },
        response = { remove = ["x-echo-accept"], set = [["x-last", "f"]],
            copy = [["x-path", "x-copy"]] }
    }"#;

    #[test]
    fn heads_are_edited_both_ways_before_either_target() {
        let server = Server::start(echo);
        let wharfs = [
            before_component("filter-headers", &KEYS.replace('\n', " ")),
            before_upstream("filter-headers", &KEYS.replace('\n', " "), server.address),
        ];
        for wharf in wharfs {
            for connect in [Connection::http1, Connection::http2] {
                let asked = with(with(post("/p?q", "body"), "x-gone", "1"), "x-set", "old");
                let asked = with(with(asked, "x-add", "1"), "accept", "all");
                let answer = connect(wharf.address).unwrap().send(asked).unwrap();
                assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
                assert_eq!(answer.header("x-echo-x-gone"), "");
                assert_eq!(answer.header("x-echo-x-set"), "new");
                assert_eq!(answer.header("x-echo-x-add"), "1");
                assert_eq!(answer.headers.get_all("x-echo-x-add").iter().count(), 2);
                assert_eq!(answer.header("x-echo-accept"), "");
                assert_eq!(answer.header("x-last"), "f");
                assert_eq!(answer.header("x-copy"), answer.header("x-path"));
            }
        }
    }

    #[test]
    fn a_new_path_and_host_reach_the_target() {
        let keys = "configuration = { request = { set = [[\":path\", \"/new?a=b\"], \
                    [\":authority\", \"other.example\"]] } }";
        let server = Server::start(echo);
        let wharf = before_upstream("filter-headers", keys, server.address);
        let answer = wharf.get("/old");
        assert_eq!(answer.header("x-path"), "/new?a=b");
        assert_eq!(answer.header("x-echo-host"), "other.example");
    }

    #[test]
    fn trailers_are_edited() {
        let keys = "configuration = { request_trailers = { add = [[\"x-b\", \"2\"]] }, \
                    response_trailers = { set = [[\"x-c\", \"3\"]] } }";
        let wharf = before_component("filter-headers", keys);
        let (sender, body) = pieces();
        let asked = with(request("POST", "/", body), "te", "trailers");
        sender.unbounded_send(Frame::data("body".into())).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-a", HeaderValue::from_static("1"));
        sender.unbounded_send(Frame::trailers(trailers)).unwrap();
        drop(sender);
        let answer = Connection::http2(wharf.address).unwrap().send(asked).unwrap();
        assert_eq!(answer.text(), "body");
        for (name, value) in [("x-a", "1"), ("x-b", "2"), ("x-c", "3")] {
            assert_eq!(answer.trailers.get(name).unwrap(), value, "{:?}", answer.trailers);
        }
    }
}

pub(crate) mod filter_body {
    use super::*;

    /// The body that the target had, and the one that came back.
    fn through(settings: &str, length: usize) -> (String, String) {
        let server = Server::start(echo);
        let keys = format!("configuration = {settings}\nlimits = {{ buffer = \"2MiB\" }}");
        let wharf = before_upstream("filter-body", &keys, server.address);
        let mut both = None;
        for connect in [Connection::http1, Connection::http2] {
            let mut connection = connect(wharf.address).unwrap();
            // Twice over one connection: a wrong length would spoil the second.
            for _ in 0..2 {
                let answer = connection.send(post("/", "a".repeat(length))).unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                let had = answer.header("x-echo-content-length").to_owned();
                if let Some(length) = answer.headers.get("content-length") {
                    assert_eq!(length, &answer.body.len().to_string());
                }
                let found = (had, answer.text());
                assert_eq!(both.get_or_insert(found.clone()), &found);
            }
            assert_eq!(connection.send(get("/after")).unwrap().header("x-path"), "/after");
        }
        both.unwrap()
    }

    #[test]
    fn a_body_is_replaced_lengthened_and_shortened_whole_or_in_pieces() {
        for length in [3, 300_000] {
            let all = |letter: &str| letter.repeat(length);
            let (_, upper) = through("{ request = { do = \"upper\" } }", length);
            assert_eq!(upper, all("A"));
            let (_, upper) = through("{ response = { do = \"upper\" } }", length);
            assert_eq!(upper, all("A"));
            let append = "{ request = { do = \"append\", text = \"!\", buffer = true } }";
            assert_eq!(through(append, length).1, all("a") + "!");
            let prepend = "{ response = { do = \"prepend\", text = \"-\", buffer = true, \
                           keep_length = true } }";
            assert_eq!(through(prepend, length).1, "-".to_owned() + &all("a"));
            let insert = "{ request = { do = \"insert\", text = \"_\", at = 1, buffer = true } }";
            assert_eq!(through(insert, length).1, "a_".to_owned() + &"a".repeat(length - 1));
            let replace = "{ request = { do = \"replace\", text = \"new\", buffer = true, \
                           keep_length = true } }";
            assert_eq!(through(replace, length).1, "new");
            let empty = "{ response = { do = \"replace\", text = \"\", buffer = true } }";
            assert_eq!(through(empty, length).1, "");
        }
    }

    #[test]
    fn a_body_that_is_too_long_to_be_held_is_refused() {
        let keys = "configuration = { request = { do = \"upper\", buffer = true } }\n\
                    limits = { buffer = \"10KiB\" }";
        let wharf = before_component("filter-body", keys);
        let mut connection = Connection::http2(wharf.address).unwrap();
        let answer = connection.send(post("/", "a".repeat(100_000))).unwrap();
        assert_eq!(answer.status, 413, "{}", answer.text());
        assert_eq!(connection.send(post("/", "abc")).unwrap().text(), "ABC");
    }

    #[test]
    fn pieces_pass_as_they_come() {
        let wharf =
            before_component("filter-body", "configuration = { request = { do = \"upper\" } }");
        let (sender, body) = pieces();
        let mut opened = {
            sender.unbounded_send(Frame::data("one".into())).unwrap();
            let asked = request("POST", "/", body);
            Connection::http2(wharf.address).unwrap().open(asked).unwrap()
        };
        assert_eq!(opened.piece().unwrap().unwrap(), "ONE");
        sender.unbounded_send(Frame::data("two".into())).unwrap();
        assert_eq!(opened.piece().unwrap().unwrap(), "TWO");
        drop(sender);
        assert_eq!(opened.rest().unwrap().text(), "");
    }
}
