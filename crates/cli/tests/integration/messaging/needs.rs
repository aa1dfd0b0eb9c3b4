//! What a subscription asks of its broker, and what a binding requires.

use crate::support::Folder;

/// A worker with this subscription on a binding with these settings.
fn refused(binding: &str, subscribe: &str) -> String {
    let folder = Folder::with(&format!(
        r#"
            name = "needs"
            [component.web]
            source = "messages-draft.wasm"
            [[subscribe]]
            component = "web"
            topics = ["t.*"]
            {subscribe}
            [messaging]
            default = {binding}
        "#
    ));
    let mut said = String::new();
    for verb in [&["check"][..], &["serve", "--addr", "127.0.0.1:0"]] {
        let ended = folder.run(verb);
        assert_eq!(ended.code, Some(64), "{}", ended.errors);
        said = ended.errors;
    }
    said
}

#[test]
fn what_a_broker_does_not_offer_cannot_be_required() {
    let url = testkit::servers::url("nats").unwrap();
    for (binding, lacks) in [
        (
            "{ url = \"memory:\", requires = { durability = \"fsync\" } }".to_owned(),
            "messaging binding `default` (memory): it lacks durability >= fsync (has none)",
        ),
        (
            format!(
                "{{ url = \"{url}\", requires = {{ ordering = \"key\", delay = \"seconds\" }} }}"
            ),
            "it lacks delay >= seconds (has none), ordering >= key (has none)",
        ),
    ] {
        let said = refused(&binding, "");
        assert!(said.contains(lacks), "{said}");
        let others = said.split("backends that can offer it: ").nth(1).unwrap();
        assert!(others.contains("embedded"), "{said}");
    }
    let every = "{ url = \"embedded:\", requires = { durability = \"fsync\", groups = \"shared\", \
                 wildcards = \"words\", redelivery = \"deadline\", attempts = \"group\", \
                 retry = \"milliseconds\", delay = \"milliseconds\", replay = \"log\", \
                 dedup = \"window\", ordering = \"topic\", request = \"inbox\" } }";
    let folder = Folder::with(&format!(
        "name = \"needs\"\n[component.web]\nsource = \"messages-draft.wasm\"\n[[subscribe]]\n\
         component = \"web\"\ntopics = [\"t\"]\n[messaging]\ndefault = {every}\n"
    ));
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let said = refused("{ url = \"memory:\", requires = { ttl = \"seconds\" } }", "");
    assert!(said.contains("unknown key `ttl`"), "{said}");
}

#[test]
fn what_a_subscription_asks_for_and_its_broker_lacks_is_told_with_what_would_do() {
    let url = testkit::servers::url("nats").unwrap();
    let said = refused(&format!("\"{url}\""), "ordered = true");
    let who = "component `web` subscribes to messaging binding `default` (nats ";
    assert!(said.contains(who) && said.contains("lacks ordering >= key (has none)"), "{said}");
    assert!(said.contains("[[subscribe]]"), "under its line: {said}");
    let others = said.split("backends that can offer it: ").nth(1).unwrap();
    assert!(others.contains("embedded") && !others.contains("nats"), "{said}");
}

#[test]
fn check_tells_the_bindings_of_each_capability_apart() {
    let folder = Folder::with(
        "name = \"needs\"\n[component.web]\nsource = \"messages-draft.wasm\"\n[[subscribe]]\n\
         component = \"web\"\ntopics = [\"t\"]\n",
    );
    let ended = folder.run(&["check", "--format", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let report: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    let component = &report["components"][0];
    assert_eq!(component["messaging"]["default"]["producer.send"], "native", "{component:#}");
    assert_eq!(component["keyvalue"]["default"]["store.open"], "native", "{component:#}");
}
