//! One interface that is imported several times, under labels of the component's own.

use crate::support::Folder;

/// A component with the labels `sessions` and `orders`, changed like this, in an app that grants
/// and binds these names.
fn labelled(changes: &[(&str, &str)], granted: &str, bound: &str) -> Folder {
    deployed(&changed(include_str!("../fixtures/labels.wat"), changes), granted, bound)
}

fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

fn deployed(text: &str, granted: &str, bound: &str) -> Folder {
    deployed_with("keyvalue", text, granted, bound)
}

/// The same of a component that is granted bindings of this section.
fn deployed_with(section: &str, text: &str, granted: &str, bound: &str) -> Folder {
    let folder = Folder::new();
    folder.write("labels.wasm", wat::parse_str(text).unwrap());
    folder.write(
        "wharf.toml",
        format!(
            "name = \"labels\"\n\
             [component.two]\nsource = \"labels.wasm\"\n{section} = {granted}\n\
             [{section}]\n{bound}"
        ),
    );
    folder
}

const BOUND: &str = "sessions = \"memory:\"\norders = \"embedded:\"\nmore = \"memory:\"\n";

fn call(folder: &Folder, call: &str) -> String {
    let ended = folder.run(&["run", ".", "--invoke", call]);
    assert_eq!(ended.code, Some(0), "{call}: {}", ended.errors);
    ended.output.trim().to_owned()
}

const ALL: &str = r#"["sessions", "orders", "more"]"#;

fn each_label_opens_the_binding_of_its_name(folder: &Folder) {
    each_label_opens_its_binding(folder, "no-such-store");
}

/// `unknown` is what the draft says of a name that nobody has.
fn each_label_opens_its_binding(folder: &Folder, unknown: &str) {
    for name in ["", "default"] {
        let written = call(folder, &format!("write({name:?}, \"k\", \"one\", \"two\")"));
        assert_eq!(written, r#"("one", "two")"#);
        // One of them outlives the program.
        let kept = call(folder, &format!("read({name:?}, \"k\")"));
        assert_eq!(kept, r#"("nothing", "two")"#);
    }
    // Every other name means what it always does, through whatever label.
    assert_eq!(call(folder, r#"read("orders", "k")"#), r#"("two", "two")"#);
    assert_eq!(call(folder, r#"write("more", "k", "one", "two")"#), r#"("two", "two")"#);
    assert_eq!(call(folder, r#"read("none", "k")"#), format!("({unknown:?}, {unknown:?})"));
}

#[test]
fn each_label_opens_the_binding_of_its_name_in_the_first_draft() {
    let folder = labelled(&[("@0.2.0-draft2", "@0.2.0-draft")], ALL, BOUND);
    each_label_opens_the_binding_of_its_name(&folder);
}

#[test]
fn each_label_opens_the_binding_of_its_name_in_the_second_draft() {
    each_label_opens_the_binding_of_its_name(&labelled(&[], ALL, BOUND));
}

#[test]
fn each_label_opens_the_binding_of_its_name_in_wasmclouds() {
    // The rest of the component is the same, but for what its functions are called with.
    let rest = include_str!("../fixtures/labels.wat");
    let rest = &rest[rest.find("  (core module $libc").unwrap()..];
    let rest = changed(
        rest,
        &[
            (r#"(func $sessions "[method]"#, r#"(func $types "[method]"#),
            (r#"(func $orders "[method]"#, r#"(func $types "[method]"#),
            (
                r#""set" (func $set (param i32 i32 i32 i32 i32 i32))"#,
                r#""set" (func $set (param i32 i32 i32 i32 i32 i32 i32 i64 i32 i32))"#,
            ),
            (
                "(local.get $value) (local.get $values) (i32.const 0))",
                "(local.get $value) (local.get $values)
                    (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0))",
            ),
            (
                "(func (export \"read\")\n    (param \"name\"",
                "(func (export \"read\") async\n    (param \"name\"",
            ),
            (
                "(func (export \"write\")\n    (param \"name\"",
                "(func (export \"write\") async\n    (param \"name\"",
            ),
        ],
    );
    let text = [include_str!("../fixtures/labels-wasmcloud.wat"), &rest].concat();
    each_label_opens_the_binding_of_its_name(&deployed(&text, ALL, BOUND));
}

/// A component that begins like this and uses both labels as all of them do.
fn from_here(beginning: &str) -> String {
    let rest = include_str!("../fixtures/labels.wat");
    [beginning, &rest[rest.find("  (core module $both").unwrap()..]].concat()
}

#[test]
fn each_label_opens_the_binding_of_its_name_in_the_oldest_draft() {
    let text = from_here(include_str!("../fixtures/labels-old.wat"));
    let folder = deployed(&text, ALL, BOUND);
    each_label_opens_its_binding(&folder, "no binding is named `none`");
    let folder = deployed(&text, r#"["sessions"]"#, BOUND);
    // The interface that takes buckets stands for nothing, and is not in the way.
    refused(
        &folder,
        &[
            "the import `orders: wasi:keyvalue/types@0.2.0-draft`: binding `orders` is not granted",
            r#"grant it in the component's section: keyvalue = ["sessions", "orders"]"#,
        ],
    );
}

/// A component with the labels `sessions` and `orders` of the interface of caches.
fn caching(changes: &[(&str, &str)], granted: &str) -> Folder {
    let text = from_here(&changed(include_str!("../fixtures/labels-cache.wat"), changes));
    let bound = "sessions = 'memory:'\norders = 'memory:'\nmore = 'memory:'";
    deployed_with("cache", &text, granted, bound)
}

#[test]
fn each_label_uses_the_cache_of_its_name() {
    let both = |folder: &Folder| call(folder, r#"write("", "k", "one", "two")"#);
    assert_eq!(both(&caching(&[], ALL)), r#"("one", "two")"#);
    // The first one granted is only that of the interface under its own name.
    let orders = "\"orders\" (implements \"wasi:keyvalue/cache@0.2.0-draft\")";
    let plain = (orders, "\"wasi:keyvalue/cache@0.2.0-draft\"");
    assert_eq!(both(&caching(&[plain], r#"["sessions", "orders"]"#)), r#"("two", "two")"#);
    assert_eq!(both(&caching(&[plain], r#"["orders", "sessions"]"#)), r#"("one", "two")"#);
    let id = |id: &str| format!("{orders} (external-id {id:?})");
    let known = id("sessions");
    assert_eq!(both(&caching(&[(orders, &known)], ALL)), r#"("two", "two")"#);
    let unknown = id("redis://prod");
    assert_eq!(both(&caching(&[(orders, &unknown)], ALL)), r#"("one", "two")"#);
}

#[test]
fn a_label_that_stands_for_no_cache_is_a_mistake() {
    refused(
        &caching(&[], r#"["sessions"]"#),
        &[
            "the import `orders: wasi:keyvalue/cache@0.2.0-draft`: binding `orders` is not granted",
            r#"grant it in the component's section: cache = ["sessions", "orders"]"#,
        ],
    );
    let renamed = [("(import \"orders\"", "(import \"others\"")];
    refused(
        &caching(&renamed, ALL),
        &["no binding is named `others`", "bind it in [cache], and grant it"],
    );
    refused(&caching(&[], "[]"), &["the import `sessions", "the import `orders", "none is"]);
}

#[test]
fn the_interface_under_its_own_name_stays_what_it_was() {
    let label = format!("\"orders\" {IMPLEMENTS}");
    let changes = [(label.as_str(), "\"wasi:keyvalue/store@0.2.0-draft2\"")];
    let bound = "default = 'embedded:'\nsessions = 'memory:'";
    let folder = labelled(&changes, r#"["default", "sessions"]"#, bound);
    assert_eq!(call(&folder, r#"write("", "k", "one", "two")"#), r#"("one", "two")"#);
    assert_eq!(call(&folder, r#"read("default", "k")"#), r#"("nothing", "two")"#);
    assert_eq!(call(&folder, r#"write("sessions", "k", "one", "two")"#), r#"("two", "two")"#);
}

#[test]
fn names_that_were_not_granted_stay_denied_through_labels() {
    let folder = labelled(&[], r#"["sessions", "orders"]"#, BOUND);
    assert_eq!(call(&folder, r#"read("more", "k")"#), r#"("access-denied", "access-denied")"#);
}

/// The interface that both labels implement, as the component's text has it.
const IMPLEMENTS: &str = r#"(implements "wasi:keyvalue/store@0.2.0-draft2")"#;

#[test]
fn an_external_id_is_preferred_where_it_is_a_binding() {
    let with = |id: &str| [(IMPLEMENTS, format!("{IMPLEMENTS} (external-id {id:?})"))];
    let known = with("more");
    let known = known.each_ref().map(|(from, to)| (*from, to.as_str()));
    let folder = labelled(&known, ALL, BOUND);
    assert_eq!(call(&folder, r#"write("", "k", "one", "two")"#), r#"("two", "two")"#);

    let unknown = with("redis://prod");
    let unknown = unknown.each_ref().map(|(from, to)| (*from, to.as_str()));
    let folder = labelled(&unknown, r#"["sessions", "orders"]"#, BOUND);
    assert_eq!(call(&folder, r#"write("", "k", "one", "two")"#), r#"("one", "two")"#);

    let folder = labelled(&known, r#"["sessions", "orders"]"#, BOUND);
    let grant = r#"keyvalue = ["orders", "sessions", "more"]"#;
    refused(&folder, &["binding `more` is not granted", grant]);
}

/// Every verb that loads the component refuses it, and says all of this.
fn refused(folder: &Folder, says: &[&str]) {
    for verb in ["check", "serve"] {
        let ended = folder.run(&[verb]);
        assert_eq!(ended.code, Some(64), "{}", ended.errors);
        for text in says {
            assert!(ended.errors.contains(text), "{text}: {}", ended.errors);
        }
    }
}

#[test]
fn a_label_that_stands_for_no_binding_is_a_mistake() {
    let bound = "sessions = 'memory:'\nmore = 'memory:'";
    let folder = labelled(&[], r#"["sessions", "more"]"#, bound);
    refused(
        &folder,
        &[
            "wharf.toml:3",
            "component `two`: the import `orders: wasi:keyvalue/store@0.2.0-draft2`",
            "no binding is named `orders`; granted are `more`, `sessions`",
            "bind it in [keyvalue], and grant it in the component's section: \
             keyvalue = [\"more\", \"sessions\", \"orders\"]",
        ],
    );
}

#[test]
fn a_label_whose_binding_was_not_granted_is_denied_with_how_to_grant_it() {
    let folder = labelled(&[], r#"["sessions"]"#, BOUND);
    refused(
        &folder,
        &[
            "the import `orders: wasi:keyvalue/store@0.2.0-draft2`: binding `orders` is not \
             granted to this component; granted are `sessions`",
            r#"grant it in the component's section: keyvalue = ["sessions", "orders"]"#,
        ],
    );
    let folder = labelled(&[], "[]", BOUND);
    refused(&folder, &["the import `sessions", "the import `orders", "none is"]);
}

#[test]
fn a_label_whose_binding_is_away_is_no_mistake_of_the_component() {
    let bound = BOUND.replacen("memory:", "redis://127.0.0.1:1", 1);
    let ended = labelled(&[], ALL, &bound).run(&["check"]);
    assert_eq!(ended.code, Some(69), "{}", ended.errors);
    assert!(ended.errors.contains("wharf.toml:6:12"), "{}", ended.errors);
    assert!(ended.errors.trim_end().ends_with("1 failure"), "{}", ended.errors);
}

#[test]
fn labels_of_what_is_not_served_under_labels_are_unserved() {
    let implements = "(implements \"wasi:random/random@0.2.0\")";
    let import = format!("(import \"more\" {implements} (instance (export \"a\" (func))))");
    let with = format!("{import}\n  (core module $libc");
    let folder = labelled(&[("(core module $libc", &with)], r#"["sessions", "orders"]"#, BOUND);
    refused(
        &folder,
        &["the import `more: wasi:random/random@0.2.0` is not served", "not under labels"],
    );
}

#[test]
fn inspect_and_check_show_labels_with_what_they_implement() {
    let id = format!("{IMPLEMENTS} (external-id \"redis://prod\")");
    let folder = labelled(&[(IMPLEMENTS, &id)], r#"["sessions", "orders"]"#, BOUND);
    let shown = folder.run(&["inspect", "labels.wasm"]).output;
    assert!(shown.contains("  served   sessions: wasi:keyvalue/store@0.2.0-draft2"), "{shown}");
    let shown = folder.run(&["inspect", "--format", "json", "labels.wasm"]).output;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let orders = &shown["imports"][1];
    assert_eq!(orders["name"], "orders");
    assert_eq!(orders["implements"], "wasi:keyvalue/store@0.2.0-draft2");
    assert_eq!(orders["external-id"], "redis://prod");
    assert_eq!(orders["served"], true);
    let shown = folder.run(&["check"]).output;
    assert!(shown.contains("  imports sessions: wasi:keyvalue/store@0.2.0-draft2"), "{shown}");
}
