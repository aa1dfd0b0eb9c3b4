//! Every backend answers the guests of a draft alike: the same requests are told to each, and the
//! transcripts must be the same, to the letter. Of errors only their case counts: words may differ.

mod caching;

use crate::support::client::{Answer, Connection, request};
use crate::support::{Served, deploy};
use http_body_util::{BodyExt as _, Full};
use keyvalue::BACKENDS;
use std::fmt::Write as _;

/// The requests in their order, for all drafts: what a guest does not know it answers with 404.
const SCRIPT: &[&str] = &[
    // Names.
    "/get?b=nowhere&k=a",
    "/get?b=orders&k=a",
    "/get?b=default&k=a",
    // Values.
    "/exists?k=a",
    "/delete?k=a",
    "/set?k=a&v=one",
    "/get?k=a",
    "/exists?k=a",
    "/set?k=a&v=two",
    "/get?b=default&k=a",
    "/set?k=empty&v=",
    "/get?k=empty",
    "/exists?k=empty",
    "/delete?k=a",
    "/delete?k=a",
    "/get?k=a",
    "/exists?k=a",
    // Keys.
    "/set?k=%C3%BC/%20%26%3F&v=text",
    "/get?k=%C3%BC/%20%26%3F",
    "/set?k=A&v=upper",
    "/get?k=a",
    "/set?k=a%20&v=blank",
    "/get?k=a",
    "/set?k=*&v=star",
    "/delete?k=*",
    "/get?k=A",
    "/set?k=&v=x",
    "/get?k=",
    "/exists?k=",
    "/delete?k=",
    "/incr?k=&d=1",
    "/set?k=LONG&v=x",
    "/get?k=LONG",
    "/delete?k=LONG",
    "/set?k=TOO-LONG&v=x",
    "/get?k=TOO-LONG",
    // Counters.
    "/incr?k=n&d=3",
    "/incr?k=n&d=0",
    "/incr?k=n&d=39",
    "/get?k=n",
    "/incr?k=n&d=-50",
    "/get?k=n",
    "/incr?k=n&d=1",
    "/set?k=word&v=ahoy",
    "/incr?k=word&d=1",
    "/get?k=word",
    "/incr?k=empty&d=1",
    "/set?k=zeros&v=007",
    "/incr?k=zeros&d=1",
    "/get?k=zeros",
    "/set?k=most&v=9223372036854775807",
    "/incr?k=most&d=1",
    "/get?k=most",
    "/incr?k=most&d=9223372036854775808",
    "/set?k=least&v=-9223372036854775808",
    "/incr?k=least&d=-1",
    "/get?k=least",
    // Several keys.
    "/set-many?k=x&v=1&k=y&v=2&k=x&v=3",
    "/get-many?k=y&k=none&k=x&k=y",
    "/get-many",
    "/set-many",
    "/delete-many",
    "/get-many?k=x&k=",
    "/set-many?k=z&v=1&k=&v=2",
    "/get?k=z",
    "/delete-many?k=x&k=",
    "/get?k=x",
    "/delete-many?k=y&k=none&k=y",
    "/get-many?k=y&k=x",
    "/list",
    "/page",
    "/page?cursor=x",
    // Swaps of the second draft.
    "/cas?k=s&v=one",
    "/cas?k=s&v=two",
    "/get?k=s",
    "/cas-late?k=s&v=three",
    "/get?k=s",
    "/cas?k=&v=x",
    "/cas-add?k=sum&d=2",
    "/cas-add?k=sum&d=3",
    "/cas-add?k=word&d=1",
    // Swaps and streams of the oldest.
    "/cas-number?k=number&old=0&new=1",
    "/set?k=number&v=5",
    "/cas-number?k=number&old=4&new=9",
    "/cas-number?k=number&old=5&new=9",
    "/get?k=number",
    "/cas-number?k=word&old=4&new=9",
    "/set-stream?k=stream&v=flow",
    "/get-stream?k=stream",
    "/get-stream?k=none",
    "/size?k=stream",
    // Options and swaps of wasmCloud's.
    "/set-with?k=once&v=one&absent=true",
    "/set-with?k=once&v=two&absent=true",
    "/get?k=once",
    "/set-with?k=once&v=three&absent=false&ttl=3600000",
    "/get?k=once",
    "/set-with?k=once&v=four&ttl=0",
    "/get?k=once",
    "/swap?k=once&v=x",
    "/swap?k=once&v=x&value=one",
    "/swap?k=once&v=x&version=none",
    "/swap?k=once&v=five&value=three",
    "/swap?k=none&v=x&value=",
    "/begin?k=on",
    "/begin?k=none/",
    "/current?k=none",
    "/list",
];

/// Where keys have this length, all backends take them; one byte more than the most, none does.
const LONG: usize = 250;
const TOO_LONG: usize = 1025;
/// One byte more than the largest value that any of them takes.
const TOO_LARGE: usize = (16 << 20) + 1;

/// What a store says that keeps no time to live for each key.
const TTL_REFUSED: &str = "other: this store keeps no time to live per key";

fn keeps_time(backend: &str) -> bool {
    let best = keyvalue::backend::BEST.iter().find(|best| best.backend == backend);
    best.is_some_and(|best| best.levels.ttl >= base::offer::Ttl::Seconds)
}

fn transcript(guest: &str, backend: &str) -> String {
    let url = testkit::servers::url(backend).unwrap_or_else(|| format!("{backend}:"));
    let wharf = deploy(&format!(
        r#"
            name = "transcript-{guest}"
            [component.web]
            source = "{guest}.wasm"
            keyvalue = ["default"]
            [[http.route]]
            component = "web"
            [keyvalue]
            default = "{url}"
            orders = "memory:"
        "#
    ));
    let mut transcript = String::new();
    for path in SCRIPT.iter().copied() {
        let asks_for_time = guest == "kv-wasmcloud" && path.contains("&ttl=3600000");
        let path = match asks_for_time && !keeps_time(backend) {
            true => {
                // What the offer denies is refused. The entry goes on without an end.
                let answer = wharf.get(path);
                assert_eq!(
                    (answer.status, answer.text().as_str()),
                    (500, TTL_REFUSED),
                    "{backend}"
                );
                &path.replace("&ttl=3600000", "")
            }
            false => path,
        };
        let answer = wharf.get(&spelled(path));
        let mut text = answer.text();
        if answer.status == 500 {
            text = case(guest, &text).to_owned();
        }
        let path = path.replace("&ttl=3600000", "");
        writeln!(transcript, "{path} -> {} {text:?}", answer.status).unwrap();
    }
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let kept = put(&wharf, bytes.clone()).status == 200;
    let comes_back = kept && wharf.get("/get?k=bytes").body == bytes;
    writeln!(transcript, "any bytes -> {comes_back}").unwrap();
    let refused = put(&wharf, vec![b'x'; TOO_LARGE]);
    let stays = wharf.get("/get?k=bytes").body == bytes;
    let case = case(guest, &refused.text()).to_owned();
    writeln!(transcript, "too large -> {} {case:?}, stays: {stays}", refused.status).unwrap();
    transcript
}

/// A request with the lengths that its keys are named after.
fn spelled(path: &str) -> String {
    path.replace("TOO-LONG", &"k".repeat(TOO_LONG)).replace("LONG", &"k".repeat(LONG))
}

/// The part of an error's text that does not depend on who says it.
fn case<'a>(guest: &str, text: &'a str) -> &'a str {
    match guest {
        // The oldest draft has words alone.
        "kv-old" => "",
        _ => text.split(':').next().unwrap_or_default(),
    }
}

fn put(wharf: &Served, value: Vec<u8>) -> Answer {
    let body = Full::new(value.into()).boxed();
    let mut connection = Connection::http1(wharf.address).unwrap();
    connection.send(request("PUT", "/put?k=bytes", body)).unwrap()
}

fn all_backends_answer_alike(guest: &str) {
    let expected = transcript(guest, "memory");
    for entry in BACKENDS {
        let found = transcript(guest, entry.name);
        for (expected, found) in expected.lines().zip(found.lines()) {
            assert_eq!(found, expected, "{} differs from memory", entry.name);
        }
        assert_eq!(found, expected, "{}", entry.name);
    }
}

#[test]
fn all_backends_answer_alike_in_the_first_draft() {
    all_backends_answer_alike("kv-draft");
}

#[test]
fn all_backends_answer_alike_in_the_second_draft() {
    all_backends_answer_alike("kv-draft2");
}

#[test]
fn all_backends_answer_alike_in_the_oldest_draft() {
    all_backends_answer_alike("kv-old");
}

#[test]
fn all_backends_answer_alike_in_wasmclouds() {
    all_backends_answer_alike("kv-wasmcloud");
}
