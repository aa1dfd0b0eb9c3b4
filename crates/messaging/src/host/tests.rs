//! What is linked, and for whom; and messages that a component takes by itself.

mod taking;

use super::Messaging;
use engine::{Capability, Ctx, Engines, Imports, Kind, Settings};
use std::sync::LazyLock;
use wasmtime::component::{Component, Linker};

static ENGINES: LazyLock<Engines> =
    LazyLock::new(|| Engines::new(Settings { instances: 10, ..Settings::default() }));

/// Those that have nothing but types, for which nothing has to be added.
const TYPES: &[&str] = &[
    "wasmcloud:messaging/types@0.2.0",
    "wasmcloud:messaging/types@0.3.0",
    "wharf:messaging/types@0.1.0",
];

/// Whether something is added for a component that imports these.
fn is_linked(ids: &[&str]) -> bool {
    let engine = ENGINES.pick(Kind::Concurrent, 512 << 10).unwrap();
    let imports = ids.iter().map(|id| format!("(import \"{id}\" (instance))"));
    let text = format!("(component {})", imports.collect::<String>());
    let component = Component::new(engine.wasmtime(), wat::parse_str(text).unwrap()).unwrap();
    let imports = Imports::of(&component);
    let mut linker: Linker<Ctx> = Linker::new(engine.wasmtime());
    Messaging::link(&mut linker, &imports).unwrap();
    linker.instantiate_pre(&component).unwrap();
    // Whatever was added cannot be added again.
    Messaging::link(&mut linker, &imports).is_err()
}

#[test]
fn what_is_said_to_be_served_is_linked_and_nothing_else() {
    for id in Messaging::SERVED.iter().filter(|id| !TYPES.contains(id)) {
        assert!(is_linked(&[id]), "`{id}` is in the list, but `link` does not add it");
    }
    for package in ["wasi:messaging", "wasmcloud:messaging", "wharf:messaging", "spin:redis"] {
        for interface in [
            "types",
            "messaging-types",
            "producer",
            "request-reply",
            "consumer",
            "handler",
            "incoming-handler",
            "messaging-guest",
            "redis",
        ] {
            for version in ["@0.2.0-draft", "@0.2.0", "@0.3.0", "@0.1.0", "@3.0.0", ""] {
                let id = format!("{package}/{interface}{version}");
                let listed = Messaging::SERVED.contains(&id.as_str());
                if TYPES.contains(&id.as_str()) {
                    continue;
                }
                assert_eq!(is_linked(&[&id]), listed, "`{id}`");
            }
        }
    }
}

#[test]
fn both_texts_of_one_version_are_linked_by_what_is_imported_beside_them() {
    let producer = "wasi:messaging/producer@0.2.0-draft";
    assert!(is_linked(&["wasi:messaging/types@0.2.0-draft", producer]));
    assert!(is_linked(&["wasi:messaging/messaging-types@0.2.0-draft", producer]));
    // A component that was put together of both has one of the two.
    let both = ["wasi:messaging/types@0.2.0-draft", "wasi:messaging/messaging-types@0.2.0-draft"];
    assert!(is_linked(&[both[0], both[1], producer]));
}
