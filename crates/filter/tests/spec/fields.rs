//! HTTP fields.

use crate::support::{Guest, Host, OUT, Text, head, out, response, status, text};
use filter::{Abi, Out, Way, pairs};

const REQUEST: u32 = 0;

/// "Retrieves value of the key from the map. `NOT_FOUND` when the requested key was not found.
/// `BAD_ARGUMENT` for unknown `map_id`."
#[test]
fn a_value_is_given_by_its_key() {
    let mut guest = Guest::new();
    let (key, other) = (guest.text("X-A"), guest.text("x-b"));
    guest.on_request(|call| {
        call.call("proxy_get_header_map_value", &[REQUEST, key.0, key.1, OUT, OUT + 4]).show();
        call.call("proxy_get_header_map_value", &[REQUEST, other.0, other.1, OUT, OUT + 4]);
        call.call("proxy_get_header_map_value", &[8, key.0, key.1, OUT, OUT + 4]);
        // Those of a callout are not there now.
        call.call("proxy_get_header_map_value", &[6, key.0, key.1, OUT, OUT + 4]);
    });
    let shown = Host::new(&guest).request();
    assert_eq!(shown, [status(0), text("1"), status(1), status(2), status(1)]);
}

/// Pseudo headers are entries like all others.
#[test]
fn pseudo_headers_are_read_and_written() {
    let mut guest = Guest::new();
    let (path, new) = (guest.text(":path"), guest.text("/new"));
    let (bad, method) = (guest.text("no path"), guest.text(":method"));
    guest.on_request(|call| {
        call.call("proxy_get_header_map_value", &[REQUEST, path.0, path.1, OUT, OUT + 4]).show();
        call.call("proxy_replace_header_map_value", &[REQUEST, path.0, path.1, new.0, new.1]);
        call.call("proxy_replace_header_map_value", &[REQUEST, path.0, path.1, bad.0, bad.1]);
        call.call("proxy_remove_header_map_value", &[REQUEST, method.0, method.1]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    assert_eq!(host.shown(), [status(0), text("/path?q"), status(0), status(2), status(2)]);
    assert_eq!(chain.head(Way::Request).unwrap().pseudo(":path").unwrap(), "/new");
}

/// Envoy gives the first of several values alone; here they are one list, as HTTP has it.
#[test]
fn several_values_are_one_list() {
    let mut guest = Guest::new();
    let (key, value) = (guest.text("x-a"), guest.text("2"));
    guest.on_request(|call| {
        call.call("proxy_add_header_map_value", &[REQUEST, key.0, key.1, value.0, value.1]);
        call.call("proxy_get_header_map_value", &[REQUEST, key.0, key.1, OUT, OUT + 4]).show();
        call.call("proxy_replace_header_map_value", &[REQUEST, key.0, key.1, value.0, value.1]);
        call.call("proxy_get_header_map_value", &[REQUEST, key.0, key.1, OUT, OUT + 4]).show();
        call.call("proxy_remove_header_map_value", &[REQUEST, key.0, key.1]);
        call.call("proxy_get_header_map_value", &[REQUEST, key.0, key.1, OUT, OUT + 4]);
        // "`OK` on success (including the case when requested key didn't exist)."
        call.call("proxy_remove_header_map_value", &[REQUEST, key.0, key.1]);
    });
    let shown = Host::new(&guest).request();
    let ok = status(0);
    let expected = [&ok, &ok, &text("1, 2"), &ok, &ok, &text("2"), &ok, &status(1), &ok];
    assert_eq!(shown.iter().collect::<Vec<_>>(), expected);
}

/// A field cannot be two, nor another message.
#[test]
fn what_is_no_field_is_refused() {
    let mut guest = Guest::new();
    let good = guest.text("x");
    let bad = [("x", "a\r\nb: c"), ("x\ny", "a"), ("", "a"), ("transfer-encoding", "chunked")];
    let bad = bad.map(|(name, value)| (guest.text(name), guest.text(value)));
    guest.on_request(|call| {
        for (name, value) in bad {
            for edit in ["proxy_add_header_map_value", "proxy_replace_header_map_value"] {
                call.call(edit, &[REQUEST, name.0, name.1, value.0, value.1]);
            }
        }
        call.call("proxy_add_header_map_value", &[REQUEST, good.0, good.1, good.0, good.1]);
    });
    let mut expected = vec![status(2); 8];
    expected.push(status(0));
    assert_eq!(Host::new(&guest).request(), expected);
}

/// "Returned map is serialized."
#[test]
fn a_map_is_given_and_taken_as_a_whole() {
    let mut guest = Guest::new();
    let new = pairs::to_bytes(|| [(&b":path"[..], &b"/b"[..]), (b"y", b"2")].into_iter());
    let (new, bad) = (guest.text(&new), guest.text(&new[..new.len() - 1]));
    guest.on_request(|call| {
        call.call("proxy_get_header_map_size", &[REQUEST, OUT]).show_word(OUT);
        call.call("proxy_get_header_map_pairs", &[REQUEST, OUT, OUT + 4]).show_word(OUT + 4).show();
        // What is no map changes nothing: Envoy takes it for an empty one and clears all headers.
        call.call("proxy_set_header_map_pairs", &[REQUEST, bad.0, bad.1]);
        call.call("proxy_get_header_map_size", &[REQUEST, OUT]).show_word(OUT);
        call.call("proxy_set_header_map_pairs", &[REQUEST, new.0, new.1]);
        call.call("proxy_set_header_map_pairs", &[9, new.0, new.1]);
        call.call("proxy_set_header_map_pairs", &[2, new.0, new.1]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    let head = head();
    let given = pairs::to_bytes(|| head.iter());
    let size = status(u32::try_from(given.len()).unwrap());
    let ok = status(0);
    let given = text(&String::from_utf8_lossy(&given));
    let expected =
        [&ok, &size, &ok, &size, &given, &status(2), &ok, &size, &ok, &status(2), &status(2)];
    assert_eq!(host.shown().iter().collect::<Vec<_>>(), expected);
    let head = chain.head(Way::Request).unwrap();
    assert_eq!(head.pseudo(":path").unwrap(), "/b");
    assert_eq!(head.fields().len(), 1);
    assert_eq!(head.pseudo(":authority").unwrap(), "a.example", "what is left out stays");
}

/// A map that is not there reads as an empty one and cannot be written.
#[test]
fn a_map_that_is_not_there_is_empty() {
    let mut guest = Guest::new();
    let key = guest.text("x");
    guest.on_request(|call| {
        for map in 1..8 {
            call.call("proxy_get_header_map_size", &[map, OUT]).show_word(OUT);
            call.call("proxy_get_header_map_pairs", &[map, OUT, OUT + 4]).show_word(OUT + 4);
            call.call("proxy_add_header_map_value", &[map, key.0, key.1, key.0, key.1]);
            call.call("proxy_remove_header_map_value", &[map, key.0, key.1]);
        }
    });
    let one = [status(0), status(0), status(0), status(0), status(2), status(2)];
    assert_eq!(Host::new(&guest).request(), vec![one; 7].concat());
}

/// "can be read in `proxy_on_log`, and read and modified from `proxy_on_response_headers`."
#[test]
fn headers_are_there_from_their_callback_to_the_log() {
    let mut guest = Guest::new();
    let (key, new) = (guest.text("x-a"), guest.text("x-new"));
    guest.on("proxy_on_response_headers", 3, Some(0), |call| {
        call.call("proxy_add_header_map_value", &[2, new.0, new.1, key.0, key.1]);
        call.call("proxy_get_header_map_value", &[REQUEST, key.0, key.1, OUT, OUT + 4]).show();
    });
    guest.on("proxy_on_log", 1, None, |call| {
        call.call("proxy_get_header_map_value", &[REQUEST, key.0, key.1, OUT, OUT + 4]).show();
        call.call("proxy_get_header_map_value", &[2, new.0, new.1, OUT, OUT + 4]).show();
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    chain.put_head(Way::Response, response(&[]), true);
    assert_eq!(out(&mut chain, Way::Response), [Out::Head(true)]);
    assert_eq!(chain.head(Way::Response).unwrap().get(b"x-new").unwrap(), "x-a");
    drop(chain);
    let (ok, one) = (status(0), text("1"));
    assert_eq!(
        host.shown(),
        [ok.clone(), ok.clone(), one.clone(), ok.clone(), one, ok, text("x-a")]
    );
}

/// Trailers "can be added in `proxy_on_request_body`, but only when the proxied request doesn't
/// have trailers (`end_of_stream` is `true`)."
#[test]
fn trailers_are_made_at_the_end_of_a_body() {
    let mut guest = Guest::new();
    let key = guest.text("x-t");
    guest.on("proxy_on_request_body", 3, Some(0), |call| {
        call.call("proxy_add_header_map_value", &[1, key.0, key.1, key.0, key.1]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), false);
    chain.put_data(Way::Request, "a".into(), false);
    chain.put_data(Way::Request, "b".into(), true);
    assert_eq!(host.shown(), [status(2), status(0)]);
    let data = |data: &'static str| Out::Data(data.into(), false);
    let expected = [Out::Head(false), data("a"), data("b"), Out::Trailers];
    assert_eq!(out(&mut chain, Way::Request), expected);
    assert_eq!(chain.trailers(Way::Request).unwrap().get(b"x-t").unwrap(), "x-t");
}

/// Trailers that came are read, changed and added to.
#[test]
fn trailers_are_changed() {
    let mut guest = Guest::new();
    let (key, new) = (guest.text("x-t"), guest.text("new"));
    guest.on("proxy_on_response_trailers", 2, Some(0), |call| {
        call.show_argument(1);
        call.call("proxy_get_header_map_value", &[3, key.0, key.1, OUT, OUT + 4]).show();
        call.call("proxy_replace_header_map_value", &[3, key.0, key.1, new.0, new.1]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    chain.put_head(Way::Response, response(&[]), false);
    chain.put_trailers(Way::Response, response(&[("x-t", "old")]).into_fields());
    assert_eq!(host.shown(), [status(1), status(0), text("old"), status(0)]);
    assert_eq!(out(&mut chain, Way::Response), [Out::Head(false), Out::Trailers]);
    assert_eq!(chain.trailers(Way::Response).unwrap().get(b"x-t").unwrap(), "new");
}

/// In ABI 0.1.0 a missing key is an empty value.
#[test]
fn before_0_2_0_what_is_missing_is_empty() {
    let mut guest = Guest::of(Abi::V0_1_0.marker());
    let Text(key, size) = guest.text("x-none");
    guest.on("proxy_on_request_headers", 2, Some(0), |call| {
        call.call("proxy_get_header_map_value", &[REQUEST, key, size, OUT, OUT + 4]);
        call.show_word(OUT).show_word(OUT + 4);
    });
    assert_eq!(Host::new(&guest).request(), vec![status(0); 3]);
}
