//! Caches as guests see them.

use crate::support::client::{Connection, ask, beside, get, request, wait};
use crate::support::{Folder, Served, deploy, pause, serve};
use http_body_util::{BodyExt as _, Full};
use std::time::{Duration, Instant};

/// Asks and expects this status and text.
fn expect(wharf: &Served, path: &str, status: u16, text: &str) {
    let answer = wharf.get(path);
    assert_eq!((answer.status, answer.text().as_str()), (status, text), "{path}");
}

/// Serves the guest with its cache on a backend, and with these further lines.
fn on(backend: &str, more: &str) -> Served {
    deploy(&format!(
        r#"
            name = "caching"
            [component.web]
            source = "cache-p2.wasm"
            {more}
            [[http.route]]
            component = "web"
            [cache]
            default = {backend}
        "#
    ))
}

pub(crate) mod cache_p2 {
    use super::{expect, serve};

    #[test]
    fn values_are_stored_found_and_forgotten_without_a_deployment_file() {
        let wharf = serve("cache-p2");
        expect(&wharf, "/get?k=a", 404, "nothing here");
        expect(&wharf, "/exists?k=a", 200, "false");
        expect(&wharf, "/set?k=a&v=one", 200, "");
        expect(&wharf, "/get?k=a", 200, "one");
        expect(&wharf, "/exists?k=a", 200, "true");
        expect(&wharf, "/set?k=a&v=", 200, "");
        expect(&wharf, "/get?k=a", 200, "");
        expect(&wharf, "/set?k=b&v=two", 200, "");
        expect(&wharf, "/both?k=b&k=none&k=a&k=b", 200, "two\n-\n\ntwo");
        expect(&wharf, "/delete?k=a", 200, "");
        expect(&wharf, "/delete?k=a", 200, "");
        expect(&wharf, "/get?k=a", 404, "nothing here");
        // Nothing else was asked for, so nothing else was opened.
        assert!(!wharf.folder.path().join(".wharf").exists());
    }
}

/// The same on every backend that can be had here.
fn on_each(test: impl Fn(&Served)) {
    let (redis, memcached) =
        (testkit::servers::redis_with(&[]), testkit::servers::memcached_with(&[]));
    // In a database of its own: the binding is called the same.
    let tiered = format!("{{ url = \"tiered:\", behind = \"{}/1\" }}", redis.url());
    let (redis_url, memcached_url) =
        (format!("\"{}\"", redis.url()), format!("\"{}\"", memcached.url()));
    for backend in ["\"memory:\"", &redis_url, &memcached_url, &tiered] {
        test(&on(backend, ""));
    }
}

#[test]
fn a_value_lives_for_its_time() {
    on_each(|wharf| {
        expect(wharf, "/set?k=short&v=x&ttl=400", 200, "");
        let stored = Instant::now();
        expect(wharf, "/set?k=long&v=x&ttl=60000", 200, "");
        if wharf.get("/get?k=short").status != 200 {
            assert!(stored.elapsed() > Duration::from_millis(300), "gone too early");
        }
        pause(Duration::from_millis(410));
        expect(wharf, "/get?k=short", 404, "nothing here");
        expect(wharf, "/exists?k=short", 200, "false");
        expect(wharf, "/get?k=long", 200, "x");
        assert_eq!(wharf.get("/set?k=short&v=x&ttl=0").status, 500);
    });
}

#[test]
fn any_bytes_are_a_value_and_any_text_a_key() {
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    on_each(|wharf| {
        let body = Full::new(bytes.clone().into()).boxed();
        let mut connection = Connection::http1(wharf.address).unwrap();
        let put = connection.send(request("PUT", "/put?k=%C3%BC/%20%26", body)).unwrap();
        assert_eq!(put.status, 200, "{}", put.text());
        assert!(wharf.get("/get?k=%C3%BC/%20%26").body == bytes);
        assert_eq!(wharf.get("/get?k=").status, 500, "an empty key is none");
        let answer = wharf.get(&format!("/set?k={}&v=x", "k".repeat(1025)));
        assert_eq!(answer.status, 500);
        assert!(answer.text().contains("1024"), "{}", answer.text());
    });
}

/// What a hundred get who ask for the same at once.
fn hundred(wharf: &Served, path: &str) -> Vec<String> {
    let askers: Vec<_> = (0..100).map(|_| beside(ask(wharf.address, get(path)))).collect();
    let answers = askers.into_iter().map(|asker| wait(asker).unwrap().unwrap());
    let texts = answers.map(|answer| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    });
    texts.collect()
}

#[test]
fn what_a_hundred_ask_for_at_once_is_made_once() {
    on_each(|wharf| {
        let texts = hundred(wharf, "/make?k=a&ms=500&v=value");
        let made = texts.iter().filter(|text| *text == "made value").count();
        let found = texts.iter().filter(|text| *text == "found value").count();
        assert_eq!((made, found), (1, 99));
        expect(wharf, "/get?k=a", 200, "value");
    });
}

#[test]
fn what_many_ask_for_at_once_is_made_once_even_where_nothing_is_kept() {
    let wharf = on("\"none:\"", "");
    let texts = hundred(&wharf, "/make?k=a&ms=1000&v=value");
    assert_eq!(texts.iter().filter(|text| *text == "made value").count(), 1);
    expect(&wharf, "/get?k=a", 404, "nothing here");
    expect(&wharf, "/make?k=a&v=again", 200, "made again");
}

#[test]
fn those_who_wait_leave_room_for_the_one_that_they_wait_for() {
    // Only two calls to the cache may run at once, and more than that wait.
    let wharf = on("\"memory:\"", "limits = { hostcalls = 2 }");
    let texts = hundred(&wharf, "/make?k=a&ms=300&v=value");
    assert_eq!(texts.iter().filter(|text| *text == "made value").count(), 1);
}

#[test]
fn whoever_gives_up_is_followed_by_the_next() {
    let wharf = on("\"memory:\"", "");
    for how in ["vacancy", "value"] {
        let first = beside(ask(wharf.address, get(&format!("/give-up?k={how}&ms=500&how={how}"))));
        pause(Duration::from_millis(200));
        let begun = Instant::now();
        expect(&wharf, &format!("/make?k={how}&v=next"), 200, "made next");
        assert!(begun.elapsed() > Duration::from_millis(100), "it did not wait");
        assert_eq!(wait(first).unwrap().unwrap().text(), "gave up");
        expect(&wharf, &format!("/get?k={how}"), 200, "next");
    }
}

#[test]
fn half_a_value_is_none() {
    let wharf = on("\"memory:\"", "");
    let first = beside(ask(wharf.address, get("/give-up?k=a&ms=500&how=trap")));
    pause(Duration::from_millis(200));
    expect(&wharf, "/make?k=a&v=whole", 200, "made whole");
    assert_eq!(wait(first).unwrap().unwrap().status, 500);
    expect(&wharf, "/get?k=a", 200, "whole");
}

#[test]
fn a_value_is_made_in_a_stream_too() {
    let wharf = on("\"memory:\"", "");
    let long = "x".repeat(20_000);
    expect(&wharf, &format!("/make?k=s&how=stream&v={long}"), 200, &format!("made {long}"));
    expect(&wharf, "/get?k=s", 200, &long);
    expect(&wharf, "/make?k=t&how=stream&v=short&ttl=300", 200, "made short");
    expect(&wharf, "/make?k=t&v=other", 200, "found short");
    pause(Duration::from_millis(310));
    expect(&wharf, "/make?k=t&v=other", 200, "made other");
}

#[test]
fn a_result_is_given_once_and_a_vacancy_filled_once() {
    let wharf = on("\"memory:\"", "");
    expect(&wharf, "/twice?k=a", 200, "the result was taken before");
    let refilled = wharf.get("/refill?k=a");
    assert_eq!(refilled.status, 500);
    assert_eq!(refilled.text(), "the vacancy was filled before");
    expect(&wharf, "/get?k=a", 200, "first");
}

#[test]
fn a_write_that_was_begun_goes_on_when_nobody_waits() {
    let redis = testkit::servers::redis_with(&[]);
    let wharf = on(&format!("\"{}\"", redis.url()), "");
    for number in 0..20 {
        expect(&wharf, &format!("/forget?k={number}&v=x"), 200, "");
    }
    for number in 0..20 {
        crate::support::eventually("it is stored", || {
            (wharf.get(&format!("/get?k={number}")).status == 200).then_some(())
        });
    }
}

#[test]
fn nothing_outlives_the_call_of_the_guest() {
    let wharf = on("\"memory:\"", "limits = { request-timeout = \"1s\" }");
    let first = beside(ask(wharf.address, get("/give-up?k=a&ms=100000&how=vacancy")));
    pause(Duration::from_millis(300));
    let begun = Instant::now();
    // The one before is ended while this waits, and gives up its vacancy with that.
    expect(&wharf, "/make?k=a&v=next", 200, "made next");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_ne!(wait(first).unwrap().unwrap().status, 200);
}

#[test]
fn a_component_uses_the_first_cache_that_it_may_open() {
    let wharf = deploy(
        r#"
            name = "several"
            [component.one]
            source = "cache-p2.wasm"
            cache = ["pages", "default"]
            [component.other]
            source = "cache-p2.wasm"
            [component.same]
            source = "cache-p2.wasm"
            cache = ["pages"]
            [component.none]
            source = "cache-p2.wasm"
            cache = []
            [[http.route]]
            component = "one"
            [[http.route]]
            host = "other"
            component = "other"
            [[http.route]]
            host = "same"
            component = "same"
            [[http.route]]
            host = "none"
            component = "none"
            [cache]
            pages = { url = "memory:", size = "1MiB" }
        "#,
    );
    let asked = |host: &str, path: &str| {
        let mut request = get(path);
        request.headers_mut().insert("host", host.parse().unwrap());
        Connection::http1(wharf.address).unwrap().send(request).unwrap()
    };
    expect(&wharf, "/set?k=a&v=one", 200, "");
    assert_eq!(asked("other", "/get?k=a").status, 404);
    assert_eq!(asked("same", "/get?k=a").text(), "one");
    let denied = asked("none", "/get?k=a");
    assert_eq!(
        (denied.status, denied.text().as_str()),
        (500, "this component is granted no cache")
    );
    for path in ["/set?k=a&v=x", "/exists?k=a", "/delete?k=a", "/make?k=a&v=x"] {
        assert_eq!(asked("none", path).status, 500, "{path}");
    }
    expect(&wharf, "/get?k=a", 200, "one");
}

#[test]
fn a_server_that_is_away_is_an_error_and_no_miss() {
    let redis = testkit::servers::redis_with(&[]);
    let wharf = on(&format!("{{ url = \"{}\", timeout = \"1s\" }}", redis.url()), "");
    expect(&wharf, "/set?k=a&v=x", 200, "");
    redis.crash();
    for path in ["/get?k=a", "/exists?k=a", "/make?k=a&v=x"] {
        let answer = wharf.get(path);
        assert_eq!(answer.status, 500, "{path}");
        assert!(answer.text().contains(&redis.address().to_string()), "{}", answer.text());
    }
}

#[test]
fn what_a_cache_does_not_have_cannot_be_required() {
    let with = |requires: &str| {
        let folder = Folder::with(&format!(
            "name = \"needs\"\n[component.web]\nsource = \"cache-p2.wasm\"\n[cache]\n\
             default = {{ url = \"memory:\", requires = {{ {requires} }} }}\n"
        ));
        folder.run(&["check"])
    };
    let ended = with("ttl = \"milliseconds\"");
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    assert!(ended.output.contains("cache binding default = memory: (memory)"), "{}", ended.output);
    assert!(ended.output.contains("offers  reach = host"), "{}", ended.output);
    let ended = with("durability = \"fsync\"");
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("unknown key `durability`"), "{}", ended.errors);
    let ended = with("reach = \"hosts\"");
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("it lacks reach >= hosts (has host)"), "{}", ended.errors);
    assert!(ended.errors.contains("backends that can offer it: "), "{}", ended.errors);
}

#[test]
fn caches_are_held_to_their_promises_too() {
    let memcached = testkit::servers::memcached_with(&[]);
    let folder = Folder::new();
    for url in ["memory:", "none:", "tiered:memory:", &memcached.url()] {
        let ended = folder.run(&["conformance", "cache", url]);
        assert_eq!(ended.code, Some(0), "{url}: {}\n{}", ended.output, ended.errors);
        assert!(ended.output.contains("kept   a_hundred_at_once_make_it_once"), "{}", ended.output);
        assert!(ended.output.trim_end().ends_with(" 0 broken"), "{}", ended.output);
    }
}
