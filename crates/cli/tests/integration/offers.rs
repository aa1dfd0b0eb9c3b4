//! What bindings offer, against what components and the file ask for.

use crate::support::Folder;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use testkit::servers::{
    etcd_locked, memcached_with_users, mysql_with, nats_with, postgres_locked, redis_with,
};

/// A component on a key-value binding with these settings.
fn file(settings: &str) -> String {
    bound("kv-draft2", "keyvalue", settings)
}

/// A component on a binding of a capability.
fn bound(guest: &str, capability: &str, settings: &str) -> String {
    format!(
        r#"
            name = "offers"
            [component.web]
            source = "{guest}.wasm"
            [[http.route]]
            component = "web"
            [{capability}]
            default = {settings}
        "#
    )
}

/// What `check` says of a file: as text, and of the first component in JSON.
fn checked(file: &str) -> (String, Value) {
    let folder = Folder::with(file);
    let [text, json] = [&["check"][..], &["check", "--format", "json"]].map(|verb| {
        let checked = folder.run(verb);
        assert_eq!(checked.code, Some(0), "{}", checked.errors);
        checked.output
    });
    let mut report: Value = serde_json::from_str(&json).unwrap();
    (text, report["components"][0].take())
}

#[test]
fn check_says_how_each_function_is_done() {
    let (text, component) = checked(&file("\"memory:\""));
    let functions = &component["keyvalue"]["default"];
    for function in ["store.open", "store.bucket.get", "store.bucket.list-keys", "atomics.swap"] {
        assert_eq!(functions[function], "native", "{function}: {functions:#}");
    }
    assert!(text.contains("  keyvalue default native: "), "{text}");
    assert!(!text.contains("emulated"), "{text}");
}

#[test]
fn check_says_what_is_emulated_and_how() {
    let url = testkit::servers::url("etcd").unwrap();
    let (text, component) = checked(&file(&format!("\"{url}\"")));
    let functions = &component["keyvalue"]["default"];
    assert_eq!(functions["atomics.increment"], "emulated: compare-and-swap in a loop");
    for function in ["atomics.swap", "store.bucket.set", "store.bucket.list-keys"] {
        assert_eq!(functions[function], "native", "{function}: {functions:#}");
    }
    let line = "\n  keyvalue default atomics.increment: emulated: compare-and-swap in a loop\n";
    assert!(text.contains(line), "{text}");
    let native = text.lines().find(|line| line.starts_with("  keyvalue default native: "));
    assert!(!native.unwrap().contains("increment"), "{text}");
}

#[test]
fn check_says_how_a_cache_does_each_function() {
    let on = |url: &str| {
        checked(&format!(
            r#"
                name = "caching"
                [component.web]
                source = "cache-p2.wasm"
                [[http.route]]
                component = "web"
                [cache]
                default = "{url}"
                [keyvalue]
                default = "memory:"
            "#
        ))
    };
    let each =
        ["cache.get", "cache.exists", "cache.set", "cache.get-or-set", "cache.delete"].as_slice();
    let fill = "cache.vacancy.vacancy-fill";
    let listen = "cache.future-result.listen-to-future-result";
    let (text, component) = on("memory:");
    let functions = &component["cache"]["default"];
    for function in each.iter().chain([&fill, &listen]) {
        assert_eq!(functions[function], "native", "{function}: {functions:#}");
    }
    assert!(text.contains("\n  cache default native: cache.delete, "), "{text}");
    // Its values are those of stores too, and ask nothing of any.
    assert_eq!(component["keyvalue"]["default"], serde_json::json!({}), "{text}");

    let (text, component) = on(&testkit::servers::url("memcached").unwrap());
    let functions = &component["cache"]["default"];
    for function in each.iter().chain([&fill]) {
        let how = functions[function].as_str().unwrap();
        let (key, ttl) = (how.contains("keys are hashed"), how.contains("end is kept beside"));
        assert!(how.starts_with("emulated: ") && key, "{function}: {how}");
        assert_eq!(ttl, ["cache.set", fill].contains(function), "{function}: {how}");
        assert!(text.contains(&format!("\n  cache default {function}: {how}\n")), "{text}");
    }
    assert_eq!(functions[listen], "native", "{functions:#}");
}

#[test]
fn what_is_required_and_not_offered_is_refused_with_what_would_do() {
    for (requires, words) in [
        ("durability = 'fsync'", "it lacks durability >= fsync (has none)"),
        ("durability = 'fsync', ttl = 'seconds'", "it lacks durability >= fsync (has none)"),
    ] {
        let folder =
            Folder::with(&file(&format!("{{ url = \"memory:\", requires = {{ {requires} }} }}")));
        for verb in [&["check"][..], &["serve", "--addr", "127.0.0.1:0"]] {
            let refused = folder.run(verb);
            assert_eq!(refused.code, Some(64), "{}", refused.errors);
            assert!(refused.errors.contains(words), "{}", refused.errors);
            assert!(refused.errors.contains("keyvalue binding `default`"), "{}", refused.errors);
            let would_do = "backends that can offer it: embedded, ";
            assert!(refused.errors.contains(would_do), "{}", refused.errors);
            assert!(!refused.errors.contains("memory,"), "{}", refused.errors);
        }
    }
}

#[test]
fn what_a_live_server_does_not_keep_is_not_offered() {
    let server = redis_with(&["--appendfsync", "everysec"]);
    let settings = |requires: &str| {
        file(&format!("{{ url = \"{}\", requires = {{ {requires} }} }}", server.url()))
    };
    let refused = Folder::with(&settings("durability = 'fsync'")).run(&["check"]);
    assert_eq!(refused.code, Some(64), "{}", refused.errors);
    assert!(refused.errors.contains("lacks durability >= fsync (has none)"), "{}", refused.errors);
    let checked = Folder::with(&settings("ttl = 'milliseconds'")).run(&["check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
}

/// A deployment on a server that cannot be used is refused before anything is served, and told
/// which binding it is, where its server is, and what is wrong with it.
fn refused(deployment: &str, binding: &str, host: SocketAddr, cause: &str) {
    let folder = Folder::with(deployment);
    for verb in [&["check"][..], &["serve", "--addr", "127.0.0.1:0"]] {
        let refused = folder.run(verb);
        let said = &refused.errors;
        assert!(matches!(refused.code, Some(64 | 69)), "{binding}: {:?} {said}", refused.code);
        assert!(said.contains(binding), "{binding}: {said}");
        assert!(said.contains(&host.to_string()) && said.contains(cause), "{binding}: {said}");
        assert!(!said.contains("hunter2"), "{binding}: {said}");
    }
}

#[test]
fn check_names_the_binding_the_host_and_the_cause() {
    let locked = redis_with(&["--requirepass", "open sesame"]);
    let plain = redis_with(&[]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let (locked, plain) = (locked.address(), plain.address());
    for (url, host, cause) in [
        (format!("redis://:hunter2@{locked}"), locked, "Password authentication failed"),
        (format!("redis://{locked}"), locked, "NOAUTH"),
        (format!("redis://{plain}/99"), plain, "out of range"),
        (format!("rediss://{plain}"), plain, "does not speak TLS"),
        (format!("etcd://{plain}"), plain, "does not speak as etcd does; is it one?"),
        (format!("redis://:hunter2@{nobody}"), nobody, "refused"),
    ] {
        let (vendor, _) = url.split_once(':').unwrap();
        let binding = format!("keyvalue binding `default` ({})", vendor.replace("ss", "s"));
        refused(&file(&format!("\"{url}\"")), &binding, host, cause);
    }
}

#[test]
fn check_names_the_binding_and_the_host_of_a_wrong_password() {
    let (postgres, mysql, etcd) = (postgres_locked(), mysql_with(&[]), etcd_locked("open sesame"));
    let nats = nats_with(&["-js", "--user", "me", "--pass", "open sesame"]);
    let memcached = memcached_with_users(&["me:open sesame"], &[]);
    for (server, path, user, capability, cause) in [
        (&postgres, "/postgres", "postgres", "keyvalue", "password authentication failed"),
        (&mysql, "/wharf", "root", "keyvalue", "Access denied for user 'root'"),
        (&nats, "", "me", "keyvalue", "authorization violation"),
        (&etcd, "", "root", "keyvalue", "invalid user ID or password"),
        (&memcached, "", "me", "cache", "authentication failure"),
    ] {
        let url = server.url();
        let (vendor, host) = url.split_once("://").unwrap();
        let guest = if capability == "cache" { "cache-p2" } else { "kv-draft2" };
        let settings = format!("\"{vendor}://{user}:hunter2@{host}{path}\"");
        let binding = format!("{capability} binding `default` ({vendor})");
        refused(&bound(guest, capability, &settings), &binding, server.address(), cause);
    }
}

/// The manual's tables are made by the code; `WHARF_WRITE_MANUAL=1` writes them.
#[test]
fn the_manual_has_the_tables_of_offers() {
    let tables = [
        ("keyvalue.md", keyvalue::table()),
        ("cache.md", cache::table()),
        ("messaging.md", messaging::table()),
    ];
    for (page, table) in tables {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
        let text = fs::read_to_string(&path).unwrap();
        let (begin, end) = ("<!-- offers: made by the code -->\n", "<!-- offers end -->");
        let (before, rest) = text.split_once(begin).expect("where the table begins");
        let (found, after) = rest.split_once(end).expect("where the table ends");
        if std::env::var_os("WHARF_WRITE_MANUAL").is_some() {
            fs::write(&path, [before, begin, &table, end, after].concat()).unwrap();
        } else {
            assert_eq!(found, table, "{page}: run this test with WHARF_WRITE_MANUAL=1");
        }
    }
}
