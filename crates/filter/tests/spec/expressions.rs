//! Expressions of CEL: `expr_create`, `expr_evaluate`, `expr_delete`.

use crate::foreign::{call, given, with};
use crate::support::{Body, Guest, Host, OUT, Shown, Text, head, response, status, text};
use filter::{Attributes, Chain, Seat, Value, Way, lock};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Source;

impl Attributes for Source {
    fn get(&self, path: &[&str]) -> Option<Value> {
        match path {
            ["source", "port"] => Some(Value::Int(9)),
            ["connection", "id"] => Some(Value::Uint(7)),
            ["connection", "mtls"] => Some(Value::Bool(true)),
            ["upstream", "took"] => Some(Value::Duration(Duration::from_millis(1500))),
            _ => None,
        }
    }
}

/// Creates an expression; what is shown is the answer alone.
fn create(body: &mut Body<'_>, expression: &str) {
    let Text(at, size) = body.text(expression);
    with(body, "expr_create", &format!("(i32.const {at}) (i32.const {size})"));
}

/// What an expression comes to when the response is there.
fn evaluate(expression: &str) -> Vec<Shown> {
    let mut guest = Guest::new();
    let (own, declared) = (guest.text("own"), guest.text("declared"));
    let value = guest.text("set");
    guest.on("proxy_on_configure", 2, Some(1), |body| {
        let declared = Declare { name: "declared".to_owned(), kind: 1 };
        call(body, "declare_property", declared.encode_to_vec());
    });
    guest.on("proxy_on_response_headers", 3, Some(0), |body| {
        for path in [own, declared] {
            body.quietly("proxy_set_property", &[path.0, path.1, value.0, value.1]);
        }
        create(body, expression);
        with(body, "expr_evaluate", &given());
        body.show();
    });
    let host = Host::new(&guest);
    host.shown();
    let mut chain = Chain::http(&[Arc::clone(&host.seat)], Box::new(Source));
    chain.put_head(Way::Request, head(), false);
    chain.put_data(Way::Request, "abc".into(), true);
    chain.put_head(Way::Response, response(&[("x-b", "2")]), true);
    host.shown()
}

#[derive(Clone, PartialEq, Message)]
struct Declare {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "3")]
    kind: i32,
}

fn is_true(expression: &str) -> bool {
    let shown = evaluate(expression);
    let [created, evaluated, value] = &shown[..] else { panic!("{expression}: {shown:?}") };
    assert_eq!([created, evaluated], [&status(0), &status(0)], "{expression}: {shown:?}");
    *value == text("\u{1}")
}

/// Variables are the attributes of the stream.
#[test]
fn expressions_are_about_the_stream() {
    for expression in [
        "request.path == '/path?q'",
        "request.headers['x-a'] == '1'",
        "request.method in ['GET', 'HEAD'] && request.size == 3",
        "'x-a' in request.headers",
        "!('x-c' in request.headers)",
        "request.headers.exists(name, name.startsWith('x-') && request.headers[name] == '1')",
        "request.headers.all(name, name != 'cookie')",
        "request['host'].matches('^a\\\\.exam[a-z]+$')",
        "response.code >= 200 && response.code < 300",
        "response.headers['x-b'] == '2'",
        "source.port == 9 && connection.id == 7u && connection.mtls",
        "upstream.took > duration('1s')",
        "request.time < timestamp('2100-01-01T00:00:00Z')",
        "plugin_name == 'tested'",
        "xds.node == 'a node'",
        "has(request.path) && !has(request.nothing)",
        "own == b'set'",
        "declared == 'set'",
        "size(request.headers.filter(name, name == 'x-a')) == 1",
        "request.headers.map(name, name).exists(name, name == 'x-a')",
        "request.headers['x-a'] + 'b' == '1b' ? true : false",
    ] {
        assert!(is_true(expression), "{expression}");
    }
    assert!(!is_true("request.path == '/'"));
}

/// What comes out is in the form of properties.
#[test]
fn values_have_the_form_of_properties() {
    let number = |number: i64| String::from_utf8_lossy(&number.to_le_bytes()).into_owned();
    for (expression, value) in [
        ("request.path", "/path?q"),
        ("request.headers['x-a']", "1"),
        ("b'ab'", "ab"),
        ("1 + 2", &number(3)),
        ("3u", &number(3)),
        ("1.5 > 1.0", "\u{1}"),
        ("duration('2s')", &number(2_000_000_000)),
        ("timestamp('1970-01-01T00:00:03Z')", &number(3_000_000_000)),
        ("['a', 'b'].map(x, x + 'c')[1]", "bc"),
    ] {
        assert_eq!(evaluate(expression), [status(0), status(0), text(value)], "{expression}");
    }
    // A list is a map of its items; of a map, names and values.
    for (expression, pairs) in
        [("['a', 'b']", [["a", ""], ["b", ""]]), ("{'k': 'v', 'l': 'w'}", [["k", "v"], ["l", "w"]])]
    {
        let pairs: Vec<_> = pairs.iter().map(|[k, v]| (k.as_bytes(), v.as_bytes())).collect();
        let bytes = filter::pairs::to_bytes(|| pairs.iter().copied());
        let shown = evaluate(expression);
        assert_eq!(shown[2], text(&String::from_utf8_lossy(&bytes)), "{expression}");
    }
}

/// An expression that comes to nothing says so, and what has no form too.
#[test]
fn what_comes_to_nothing_is_an_error() {
    for expression in ["request.nothing", "unknown", "1 / 0", "request.path + 1", "[1][5]"] {
        assert_eq!(evaluate(expression)[..2], [status(0), status(10)], "{expression}");
    }
    assert_eq!(evaluate("null")[..2], [status(0), status(3)]);
}

/// What is no expression is refused, as is what could take longer than a callback may.
#[test]
fn expressions_are_refused_at_once() {
    let ten = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]";
    let mut deep = "request.headers".to_owned();
    for level in 0..3 {
        deep = format!("request.headers.map(a{level}, {deep})");
    }
    let mut lists = "1".to_owned();
    for level in 0..7 {
        lists = format!("{ten}.map(b{level}, {lists})");
    }
    let sum = vec!["request.path"; 200].join(" + ");
    let bad = [
        "",
        "1 +",
        "request.",
        "(",
        ")",
        "'",
        "a b",
        "\u{0}",
        "request.headers.map(",
        "\"\\x\"",
        "request.path.matches(request.query)",
        "request.path.matches('(a{1000}){1000}')",
        "request.path.matches('(')",
        "Struct{a: 1}",
        &deep,
        &lists,
        &sum,
        &"(".repeat(4000),
        &"[".repeat(4000),
        &"-".repeat(4000),
        &"!".repeat(4000),
        &format!("{}1{}", "(".repeat(1000), ")".repeat(1000)),
        &format!("a{}", ".b".repeat(2000)),
        &format!("a{}", "[0]".repeat(1300)),
        &format!("1{}", " + 1".repeat(1000)),
        &format!("a{}", " ? b : c".repeat(400)),
        &"a.map(x, ".repeat(400),
        &"x".repeat(5000),
    ];
    let mut guest = Guest::new();
    guest.on_request(|body| {
        for expression in bad {
            create(body, expression);
        }
        let Text(at, size) = body.text(b"\xff\xfe");
        with(body, "expr_create", &format!("(i32.const {at}) (i32.const {size})"));
    });
    let begun = Instant::now();
    let shown =
        Host::with(&guest, |plugin| plugin.limits.callback = Duration::from_secs(60)).request();
    let refused = vec![status(2); bad.len() + 1];
    let wrong: Vec<_> = bad.iter().zip(&shown).filter(|(_, it)| **it != status(2)).collect();
    assert_eq!(shown, refused, "{wrong:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// The worst that is taken ends soon.
#[test]
fn what_is_taken_ends_soon() {
    let mut taken = 0;
    for count in [10, 50, 100, 150, 200, 300, 500] {
        let many = vec!["1"; count].join(", ");
        let text = format!("'{}'", "x".repeat(2000));
        for expression in [
            format!("[{many}].map(a, [{many}].all(b, a + b > 0)).size() > 0"),
            format!("[{many}].map(a, [{many}].map(b, b)).size() > 0"),
            format!("[{many}].map(a, {text} + {text}).size() > 0"),
            format!("[{many}].all(a, request.headers.all(name, name != string(a)))"),
            format!("[{many}].all(a, !request.path.matches('^(x|y){{50}}$'))"),
        ] {
            let begun = Instant::now();
            let shown = evaluate(&expression);
            let taken_at = begun.elapsed();
            assert!(taken_at < Duration::from_secs(5), "{taken_at:?}: {expression}");
            if shown[0] == status(0) {
                assert_eq!(shown[1], status(0), "{expression}");
                taken += 1;
            }
        }
    }
    assert!((10..35).contains(&taken), "{taken} were taken");
}

/// What expressions are made of, and some of what they are not.
const WORDS: &[&str] = &[
    "request",
    "headers",
    "path",
    "response",
    "own",
    "x",
    "1",
    "0",
    "-1",
    "2u",
    "1.5",
    "'a'",
    "b'c'",
    "\"\\u00e4\"",
    "true",
    "null",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    ":",
    "?",
    "+",
    "-",
    "*",
    "/",
    "%",
    "!",
    "<",
    "==",
    "&&",
    "||",
    " in ",
    ".map(x, ",
    ".all(x, ",
    ".exists_one(x, ",
    ".filter(x, ",
    "has(",
    "size(",
    "int(",
    "string(",
    "timestamp(",
    "duration(",
    ".matches('a+')",
    "['x-a']",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    ".getFullYear()",
    "type(",
    "dyn(",
    "\u{1f4a9}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 5))]

    /// Whatever a guest takes for an expression, it is answered.
    #[test]
    fn any_text_is_answered(texts in vec(vec(select(WORDS), 1..12), 40)) {
        let mut guest = Guest::new();
        guest.on_request(|body| {
            for words in &texts {
                create(body, &words.concat());
                with(body, "expr_evaluate", &given());
            }
        });
        let host = Host::with(&guest, |plugin| plugin.limits.callback = Duration::from_secs(60));
        let shown = host.request();
        prop_assert_eq!(host.failure(), None);
        prop_assert_eq!(shown.len(), 2 * texts.len());
        for (at, answer) in shown.iter().enumerate() {
            let known = [0, 1, 2, 3, 10].map(status).contains(answer);
            prop_assert!(known, "{:?}: {:?}", texts.get(at / 2), answer);
        }
    }
}

/// A number is of one plugin, and of one expression for ever.
#[test]
fn numbers_are_not_given_twice() {
    let mut guest = Guest::new();
    guest.on_request(|body| {
        for _ in 0..2 {
            create(body, "1 + 1");
            body.show_number(&format!("(i32.load (i32.load (i32.const {OUT})))"));
            with(body, "expr_delete", &given());
        }
        for token in [0_u32, 1, 2, 1000] {
            call(body, "expr_evaluate", token.to_le_bytes());
            call(body, "expr_delete", token.to_le_bytes());
        }
        call(body, "expr_evaluate", "abc");
        call(body, "expr_delete", "");
    });
    let shown = Host::new(&guest).request();
    let numbers: Vec<_> =
        shown.iter().filter(|it| matches!(it, Shown::Number(_))).cloned().collect();
    let created = [0, 0, 0, 0, 1, 0];
    let forgotten = [1, 0, 1, 0, 1, 0, 1, 0, 2, 2];
    assert_eq!(
        numbers,
        [&created[..], &forgotten].concat().into_iter().map(status).collect::<Vec<_>>()
    );
}

/// So many expressions there may be at once; those of a plugin that ended make room.
#[test]
fn expressions_are_bounded() {
    let mut guest = Guest::new();
    guest.on_request(|body| {
        body.wat("(local $left i32)");
        let Text(at, size) = body.text("true");
        body.quietly("proxy_call_foreign_function", &[0, 0, 0, 0, 0, 0]);
        let name = body.text("expr_create");
        let arguments = format!("(i32.const {}) (i32.const {})", name.0, name.1);
        body.wat("(local.set $left (i32.const 257)) (loop $again");
        body.show_number(&format!(
            "(call $proxy_call_foreign_function {arguments} (i32.const {at}) (i32.const {size})
                (i32.const 0) (i32.const 0))"
        ));
        body.wat(
            "(local.set $left (i32.sub (local.get $left) (i32.const 1)))
             (br_if $again (local.get $left)))",
        );
    });
    let mut host = Host::with(&guest, |plugin| plugin.limits.callback = Duration::from_secs(60));
    let plugin = Arc::clone(host.seat.plugin());
    for _ in 0..2 {
        let shown = host.request();
        assert_eq!(shown[..256], vec![status(0); 256]);
        assert_eq!(shown[256], status(10));
        let (old, next) = (host.running(), Seat::start(&host.worker, Arc::clone(&plugin)).unwrap());
        assert!(Arc::ptr_eq(&old.vm, &next.running().unwrap().vm), "in the same machine");
        assert!(lock(&old.vm).end_plugin(old.root, true).unwrap());
        host.seat = next;
    }
}
