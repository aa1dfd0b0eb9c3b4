//! The same for caches, which have one interface. Here the words of errors count too: all are the
//! host's own.

use super::{TOO_LARGE, put, spelled};
use crate::support::{Served, deploy, eventually};
use cache::backend::{BACKENDS, BEST};
use cache::{Best, Reach};

/// The requests in their order: every function, and every error that does not need a server's help.
const SCRIPT: &[&str] = &[
    // Values.
    "/get?k=a",
    "/exists?k=a",
    "/delete?k=a",
    "/set?k=a&v=one",
    "/get?k=a",
    "/exists?k=a",
    "/set?k=a&v=two",
    "/get?k=a",
    "/set?k=empty&v=",
    "/get?k=empty",
    "/exists?k=empty",
    "/both?k=a&k=none&k=empty&k=a",
    "/twice?k=a",
    "/twice?k=none",
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
    "/set?k=LONG&v=long",
    "/get?k=LONG",
    "/exists?k=LONG",
    "/make?k=LONG&v=x",
    "/delete?k=LONG",
    "/get?k=LONG",
    "/get?k=",
    "/exists?k=",
    "/set?k=&v=x",
    "/delete?k=",
    "/both?k=A&k=",
    "/make?k=&v=x",
    "/get?k=TOO-LONG",
    "/exists?k=TOO-LONG",
    "/set?k=TOO-LONG&v=x",
    "/delete?k=TOO-LONG",
    "/both?k=A&k=TOO-LONG",
    "/make?k=TOO-LONG&v=x",
    // Times to live: none, an hour, the longest that can be said.
    "/set?k=zero&v=x&ttl=0",
    "/get?k=zero",
    "/make?k=zero&v=x&ttl=0",
    "/get?k=zero",
    "/make?k=zero&v=x",
    "/set?k=hour&v=x&ttl=3600000",
    "/get?k=hour",
    "/set?k=longest&v=x&ttl=4294967295",
    "/get?k=longest",
    "/exists?k=longest",
    // Vacancies.
    "/make?k=made&v=one",
    "/make?k=made&v=two",
    "/get?k=made",
    "/make?k=stream&v=flow&how=stream&ttl=3600000",
    "/make?k=stream&v=other&how=stream",
    "/make?k=nothing&v=",
    "/exists?k=nothing",
    "/give-up?k=given&how=vacancy",
    "/exists?k=given",
    "/give-up?k=given&how=value",
    "/exists?k=given",
    "/give-up?k=given&how=trap",
    "/exists?k=given",
    "/make?k=given&v=next",
    "/get?k=given",
    "/refill?k=refilled",
    "/get?k=refilled",
];

/// What needs a value to be there, and is told by the guest itself.
const OCCUPIED: &[&str] = &["/give-up?k=made", "/refill?k=refilled"];

fn on(backend: &str) -> Served {
    let url = testkit::servers::url(backend).unwrap_or_else(|| format!("{backend}:"));
    deploy(&format!(
        r#"
            name = "transcript-cache"
            [component.web]
            source = "cache-p2.wasm"
            [[http.route]]
            component = "web"
            [cache]
            default = "{url}"
        "#
    ))
}

/// Each request with what is answered.
fn told(wharf: &Served, script: &[&'static str]) -> Vec<(&'static str, u16, String)> {
    let told = script.iter().map(|path| {
        let answer = wharf.get(&spelled(path));
        (*path, answer.status, answer.text())
    });
    told.collect()
}

fn keeping(best: &&Best) -> bool {
    best.levels.reach > Reach::None
}

#[test]
fn all_caches_answer_alike() {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut expected = None;
    for best in BEST.iter().filter(keeping) {
        let (wharf, backend) = (on(best.backend), best.backend);
        let found = [told(&wharf, SCRIPT), told(&wharf, OCCUPIED)].concat();
        let expected = expected.get_or_insert_with(|| found.clone());
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(found, expected, "{backend} differs from {}", BEST[0].backend);
        }
        for (path, status, text) in &found[SCRIPT.len()..] {
            assert_eq!((*status, &**text), (500, "there is a value"), "{path}");
        }
        assert_eq!(put(&wharf, bytes.clone()).status, 200, "{backend}");
        assert!(wharf.get("/get?k=bytes").body == bytes, "{backend}");
        let refused = put(&wharf, vec![b'x'; TOO_LARGE]);
        assert_eq!(refused.status, 500, "{backend}");
        assert!(refused.text().contains("at most"), "{backend}: {}", refused.text());
        assert!(wharf.get("/get?k=bytes").body == bytes, "{backend}");
        assert_eq!(wharf.text("/forget?k=forgotten&v=x"), "");
        eventually("what was begun is stored", || {
            (wharf.get("/get?k=forgotten").status == 200).then_some(())
        });
    }
}

#[test]
fn a_cache_that_keeps_nothing_answers_every_look_with_a_miss_and_every_error_alike() {
    let expected = told(&on("memory"), SCRIPT);
    assert_eq!(BACKENDS.len() - BEST.iter().filter(keeping).count(), 1, "`none:` alone");
    for ((path, status, text), (_, usual, words)) in
        told(&on("none"), SCRIPT).into_iter().zip(expected)
    {
        let (function, _) = path.split_once('?').unwrap();
        let answer = (status, text.as_str());
        match (usual, function) {
            (500, _) => assert_eq!(answer, (500, words.as_str()), "{path}"),
            (_, "/get") => assert_eq!(answer, (404, "nothing here"), "{path}"),
            (_, "/exists") => assert_eq!(answer, (200, "false"), "{path}"),
            (_, "/both") => assert_eq!(answer, (200, "-\n-\n-\n-"), "{path}"),
            (_, "/make") => assert!(status == 200 && text.starts_with("made "), "{path}: {text}"),
            _ => assert_eq!(answer, (200, words.as_str()), "{path}"),
        }
    }
}
