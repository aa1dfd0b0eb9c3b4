//! Key-value as guests see it, by each of the drafts.

use crate::support::client::{Connection, ask, beside, get, request, wait};
use crate::support::{Folder, Served, deploy, eventually, promises, serve};
use http_body_util::{BodyExt as _, Full};
use testkit::program::Signal;

mod killed;

promises!([
    values_are_written_read_and_deleted,
    counters_lose_no_count,
    several_keys_are_one_call,
    every_key_is_listed,
    what_was_acknowledged_is_there_after_a_crash,
    names_that_were_not_granted_are_denied,
    each_binding_is_a_world_of_its_own,
    what_is_too_large_is_refused_and_not_cut,
] of kv_draft, kv_draft2, kv_old, kv_wasmcloud);

/// Asks and expects this status and text.
fn expect(wharf: &Served, path: &str, status: u16, text: &str) {
    let answer = wharf.get(path);
    assert_eq!((answer.status, answer.text().as_str()), (status, text), "{path}");
}

fn values_are_written_read_and_deleted(guest: &str) {
    let wharf = serve(guest);
    expect(&wharf, "/get?k=a", 404, "nothing here");
    expect(&wharf, "/exists?k=a", 200, "false");
    expect(&wharf, "/delete?k=a", 200, "");
    expect(&wharf, "/set?k=a&v=one", 200, "");
    expect(&wharf, "/get?k=a", 200, "one");
    expect(&wharf, "/exists?k=a", 200, "true");
    expect(&wharf, "/set?k=a&v=", 200, "");
    expect(&wharf, "/get?k=a", 200, "");
    expect(&wharf, "/exists?k=a", 200, "true");
    expect(&wharf, "/delete?k=a", 200, "");
    expect(&wharf, "/get?k=a", 404, "nothing here");
    // Any bytes are a value, and any text a key.
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let body = Full::new(bytes.clone().into()).boxed();
    let mut connection = Connection::http1(wharf.address).unwrap();
    let put = connection.send(request("PUT", "/put?k=%C3%BC/%20%26", body)).unwrap();
    assert_eq!(put.status, 200);
    assert!(wharf.get("/get?k=%C3%BC/%20%26").body == bytes);
    // The empty name means the default.
    expect(&wharf, "/set?b=default&k=a&v=1", 200, "");
    expect(&wharf, "/get?b=&k=a", 200, "1");
    assert_eq!(wharf.get("/get?k=").status, 500, "an empty key is none");
}

fn counters_lose_no_count(guest: &str) {
    let wharf = serve(guest);
    let askers: Vec<_> =
        (0..40).map(|_| beside(ask(wharf.address, get("/incr?k=n&d=3")))).collect();
    let mut sums: Vec<u64> = askers
        .into_iter()
        .map(|asker| wait(asker).unwrap().unwrap().text().parse().unwrap())
        .collect();
    sums.sort_unstable();
    assert!(sums.iter().copied().eq((1..=40).map(|n| n * 3)), "{sums:?}");
    expect(&wharf, "/get?k=n", 200, "120");
    // What is no number, and what is too large for one, changes nothing.
    expect(&wharf, "/set?k=word&v=ahoy", 200, "");
    assert_eq!(wharf.get("/incr?k=word&d=1").status, 500);
    expect(&wharf, "/get?k=word", 200, "ahoy");
    expect(&wharf, "/set?k=most&v=9223372036854775807", 200, "");
    assert_eq!(wharf.get("/incr?k=most&d=1").status, 500);
    expect(&wharf, "/get?k=most", 200, "9223372036854775807");
}

fn several_keys_are_one_call(guest: &str) {
    let wharf = serve(guest);
    expect(&wharf, "/set-many?k=a&v=1&k=b&v=2&k=a&v=3", 200, "");
    expect(&wharf, "/get-many?k=b&k=none&k=a&k=b", 200, "b=2\n-\na=3\nb=2");
    expect(&wharf, "/delete-many?k=a&k=none", 200, "");
    expect(&wharf, "/get-many?k=a&k=b", 200, "-\nb=2");
    expect(&wharf, "/get-many", 200, "");
}

fn every_key_is_listed(guest: &str) {
    let wharf = serve(guest);
    expect(&wharf, "/list", 200, "");
    let keys: Vec<String> = (0..2500).map(|number| format!("key-{number:04}")).collect();
    for some in keys.chunks(500) {
        let pairs: Vec<String> = some.iter().map(|key| format!("k={key}&v=x")).collect();
        expect(&wharf, &format!("/set-many?{}", pairs.join("&")), 200, "");
    }
    expect(&wharf, "/list", 200, &keys.join("\n"));
}

fn what_was_acknowledged_is_there_after_a_crash(guest: &str) {
    let mut wharf = serve(guest);
    for round in 1..=3 {
        expect(&wharf, &format!("/set?k=round&v={round}"), 200, "");
        expect(&wharf, "/incr?k=rounds&d=1", 200, &round.to_string());
        wharf.program.signal(Signal::SIGKILL);
        assert_eq!(wharf.program.end().code(), None);
        wharf = wharf.folder.serve(&[&format!("{guest}.wasm")]);
        expect(&wharf, "/get?k=round", 200, &round.to_string());
        expect(&wharf, "/get?k=rounds", 200, &round.to_string());
    }
}

/// A component that may open two of three bindings.
fn three(guest: &str) -> Served {
    deploy(&format!(
        r#"
            name = "three"
            [component.web]
            source = "{guest}.wasm"
            keyvalue = ["default", "sessions"]
            [[http.route]]
            component = "web"
            [keyvalue]
            default = "memory:"
            sessions = "memory:"
            orders = "embedded:"
        "#
    ))
}

fn names_that_were_not_granted_are_denied(guest: &str) {
    let wharf = three(guest);
    let denied = wharf.get("/get?b=orders&k=a");
    let unknown = wharf.get("/get?b=nowhere&k=a");
    assert_eq!((denied.status, unknown.status), (500, 500));
    if guest == "kv-old" {
        // That draft has words, and no cases.
        assert!(denied.text().contains("orders"), "{}", denied.text());
        assert!(unknown.text().contains("nowhere"), "{}", unknown.text());
        assert_ne!(denied.text(), unknown.text());
    } else {
        assert_eq!(denied.text(), "access-denied");
        assert_eq!(unknown.text(), "no-such-store");
    }
}

fn each_binding_is_a_world_of_its_own(guest: &str) {
    let wharf = three(guest);
    expect(&wharf, "/set?k=a&v=1", 200, "");
    expect(&wharf, "/get?b=sessions&k=a", 404, "nothing here");
    expect(&wharf, "/set?b=sessions&k=a&v=2", 200, "");
    expect(&wharf, "/get?b=default&k=a", 200, "1");
}

fn what_is_too_large_is_refused_and_not_cut(guest: &str) {
    let wharf = serve(guest);
    let key = |length: usize| "k".repeat(length);
    expect(&wharf, &format!("/set?k={}&v=x", key(1024)), 200, "");
    let answer = wharf.get(&format!("/set?k={}&v=x", key(1025)));
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("1024") || answer.text().contains("1KiB"), "{}", answer.text());
    expect(&wharf, "/list", 200, &key(1024));
    let large = Full::new(vec![b'x'; (16 << 20) + 1].into()).boxed();
    let mut connection = Connection::http1(wharf.address).unwrap();
    let answer = connection.send(request("PUT", "/put?k=a", large)).unwrap();
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert!(answer.text().contains("16MiB") || answer.text().contains("16777216"));
    expect(&wharf, "/get?k=a", 404, "nothing here");
}

#[test]
fn swaps_fail_where_someone_wrote_in_between() {
    let wharf = serve("kv-draft2");
    expect(&wharf, "/cas?k=a&v=one", 200, "swapped");
    expect(&wharf, "/get?k=a", 200, "one");
    expect(&wharf, "/cas-late?k=a&v=two", 200, "failed, now: in between");
    expect(&wharf, "/get?k=a", 200, "in between");
    let askers: Vec<_> =
        (0..30).map(|_| beside(ask(wharf.address, get("/cas-add?k=n&d=2")))).collect();
    for asker in askers {
        assert_eq!(wait(asker).unwrap().unwrap().status, 200);
    }
    expect(&wharf, "/get?k=n", 200, "60");
}

#[test]
fn wasmcloud_has_options_prefixes_and_swaps_without_handles() {
    let wharf = serve("kv-wasmcloud");
    expect(&wharf, "/set-with?k=a&v=one&absent=true", 200, "");
    expect(&wharf, "/set-with?k=a&v=two&absent=true", 500, "precondition-failed");
    expect(&wharf, "/get?k=", 500, "invalid-argument");
    expect(&wharf, "/swap?k=a&v=two", 500, "invalid-argument");
    expect(&wharf, "/swap?k=a&v=two&value=none", 200, "stale, now: one");
    expect(&wharf, "/swap?k=a&v=two&value=one", 200, "swapped");
    let current = wharf.text("/current?k=a");
    let (version, value) = current.split_once('\n').unwrap();
    assert_eq!(value, "two");
    expect(&wharf, &format!("/swap?k=a&v=three&version={version}"), 200, "swapped");
    expect(&wharf, &format!("/swap?k=a&v=four&version={version}"), 200, "stale, now: three");
    expect(&wharf, "/swap?k=none&v=x&version=00", 200, "stale, now: nothing");
    expect(&wharf, "/set-many?k=in/1&v=&k=in/2&v=&k=on/1&v=", 200, "");
    expect(&wharf, "/begin?k=in/", 200, "in/1\nin/2");
    expect(&wharf, "/set-with?k=short&v=x&ttl=1", 200, "");
    eventually("a value expires", || (wharf.get("/get?k=short").status == 404).then_some(()));
    let askers: Vec<_> =
        (0..30).map(|_| beside(ask(wharf.address, get("/cas-add?k=n&d=2")))).collect();
    for asker in askers {
        assert_eq!(wait(asker).unwrap().unwrap().status, 200);
    }
    expect(&wharf, "/get?k=n", 200, "60");
}

#[test]
fn calls_of_one_request_overlap_and_each_counts() {
    let wharf = serve("kv-wasmcloud");
    let sums = wharf.text("/at-once?k=n&n=200");
    let mut sums: Vec<u64> = sums.split(' ').map(|sum| sum.parse().unwrap()).collect();
    sums.sort_unstable();
    assert!(sums.iter().copied().eq(1..=200), "{sums:?}");
}

#[test]
fn a_page_leads_to_the_next_even_in_another_instance() {
    let wharf = serve("kv-draft2");
    let pairs: Vec<String> = (0..1500).map(|number| format!("k=key-{number:04}&v=")).collect();
    for some in pairs.chunks(500) {
        assert_eq!(wharf.get(&format!("/set-many?{}", some.join("&"))).status, 200);
    }
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = if cursor.is_empty() { String::new() } else { format!("?cursor={cursor}") };
        let text = wharf.text(&format!("/page{path}"));
        let (page, last) = text.rsplit_once('\n').unwrap_or(("", &text));
        keys.extend(page.lines().map(str::to_owned));
        cursor = last.strip_prefix("cursor=").unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(keys.len(), 1500);
    assert!(keys.is_sorted_by(|one, next| one < next), "each key once, in order");
}

#[test]
fn the_older_draft_swaps_numbers_and_streams_values() {
    let wharf = serve("kv-old");
    expect(&wharf, "/cas-number?k=n&old=0&new=1", 200, "false");
    expect(&wharf, "/set?k=n&v=5", 200, "");
    expect(&wharf, "/cas-number?k=n&old=4&new=9", 200, "false");
    expect(&wharf, "/cas-number?k=n&old=5&new=9", 200, "true");
    expect(&wharf, "/get?k=n", 200, "9");
    let long = "x".repeat(20_000);
    expect(&wharf, &format!("/set-stream?k=s&v={long}"), 200, "");
    expect(&wharf, "/get-stream?k=s", 200, &long);
    expect(&wharf, "/size?k=s", 200, "20000");
}

#[test]
fn components_of_one_app_share_a_binding_and_apps_do_not() {
    let folder = Folder::with(
        r#"
            name = "one"
            data = "data"
            [component.writer]
            source = "kv-draft.wasm"
            [component.reader]
            source = "kv-draft2.wasm"
            [[http.route]]
            component = "writer"
            [[http.route]]
            path = "/get"
            component = "reader"
        "#,
    );
    folder.guest("kv-old");
    let wharf = folder.serve(&[]);
    expect(&wharf, "/set?k=a&v=1", 200, "");
    expect(&wharf, "/get?k=a", 200, "1");
    // Another app in the same data directory.
    wharf.folder.write(
        "other.toml",
        "name = \"two\"\ndata = \"data\"\n[component.web]\nsource = \"kv-old.wasm\"\n\
         [[http.route]]\ncomponent = \"web\"\n",
    );
    let beside = wharf.folder.wharf(&["serve", "--addr", "127.0.0.1:0", "other.toml"]);
    let other = Served::start(Folder::new(), beside);
    expect(&other, "/get?k=a", 404, "nothing here");
}

pub(crate) mod kv_bench {
    use super::{expect, serve};

    #[test]
    fn gets_and_sets_for_each_request() {
        let wharf = serve("kv-bench");
        for path in ["/", "/hello", "/"] {
            expect(&wharf, path, 200, "Hello, world");
        }
    }
}

pub(crate) mod kv_operations {
    use crate::support::Folder;

    #[test]
    fn does_what_it_is_told() {
        let folder = Folder::new();
        folder.guest("kv-operations");
        let run = |operation: &str| {
            let call = format!("operate(\"{operation}\", \"key\", 2)");
            folder.run(&["run", "--invoke", &call, "kv-operations.wasm"])
        };
        for operation in ["set", "swap", "get", "set-many", "get-many"] {
            let ended = run(operation);
            assert_eq!((ended.code, ended.output.as_str()), (Some(0), "ok\n"), "{}", ended.errors);
        }
        // The value is no number.
        let ended = run("increment");
        assert!(ended.output.starts_with("err("), "{}", ended.output);
    }
}
