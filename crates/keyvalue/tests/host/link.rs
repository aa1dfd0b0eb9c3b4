//! What is linked, and for whom.

use super::{load, memory};
use engine::{Capability, Ctx, Imports, Kind, Limits};
use wasmtime::component::{Component, Linker};
use wharf_keyvalue::host::KeyValue;
use wharf_keyvalue::host::cache::Caches;

/// The label of interfaces that are imported under one.
const LABEL: &str = "sessions";

/// A component that imports one interface and nothing of it, in the binary format.
fn importing(id: &str, label: bool) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let text = |text: &str| [&[length(text.as_bytes())], text.as_bytes()].concat();
    // One type: an instance without exports.
    let types = [1, 0x42, 0];
    let name = match label {
        false => [vec![0], text(id)].concat(),
        // With one option: what it implements.
        true => [vec![2], text(LABEL), vec![1, 0], text(id)].concat(),
    };
    // One import: its name, and that it is an instance of type 0.
    let import = [vec![1], name, vec![5, 0]].concat();
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.extend([&[7, length(&types)], types.as_slice()].concat());
    component.extend([&[10, length(&import)], import.as_slice()].concat());
    component
}

/// Whether `link` of a capability adds something for a component that imports `id`, be it under a
/// label.
fn is_linked<C: Capability>(id: &str, label: bool) -> bool {
    let engine = super::ENGINES.pick(Kind::Concurrent, 512 << 10).unwrap();
    let component = Component::new(engine.wasmtime(), importing(id, label)).unwrap();
    let imports = Imports::of(&component);
    assert_eq!(imports.wants(id), !label);
    assert_eq!(imports.labels(id).any(|name| name.name == LABEL), label);
    let mut linker: Linker<Ctx> = Linker::new(engine.wasmtime());
    C::link(&mut linker, &imports).unwrap();
    linker.instantiate_pre(&component).unwrap();
    // Whatever was added cannot be added again.
    C::link(&mut linker, &imports).is_err()
}

#[test]
fn what_is_said_to_be_served_is_linked_and_nothing_else() {
    every_id_is_linked_that_is_listed::<KeyValue>();
    every_id_is_linked_that_is_listed::<Caches>();
}

fn every_id_is_linked_that_is_listed<C: Capability>() {
    for id in C::SERVED {
        assert!(is_linked::<C>(id, false), "`{id}` is in the list, but `link` does not add it");
    }
    for id in C::LABELLED {
        assert!(C::SERVED.contains(id), "`{id}` is in one list alone");
    }
    for package in ["wasi:keyvalue", "wasi:config", "wasmcloud:keyvalue"] {
        for interface in
            ["store", "atomics", "batch", "types", "eventual", "atomic", "cache", "cas", "watcher"]
        {
            for version in
                ["@0.2.0-draft", "@0.2.0-draft2", "@0.2.0-draft3", "@0.2.0", "@0.1.0", ""]
            {
                let id = format!("{package}/{interface}{version}");
                let listed = C::SERVED.contains(&id.as_str());
                assert_eq!(is_linked::<C>(&id, false), listed, "`{id}`");
                let listed = C::LABELLED.contains(&id.as_str());
                assert_eq!(is_linked::<C>(&id, true), listed, "`{LABEL}: {id}`");
            }
        }
    }
}

#[tokio::test]
async fn interfaces_of_both_meanings_of_one_version_are_linked_beside_each_other() {
    let engine = super::ENGINES.pick(Kind::Concurrent, 512 << 10).unwrap();
    let mut linker: Linker<Ctx> = Linker::new(engine.wasmtime());
    wharf_keyvalue::host::add_to_linker(&mut linker, Ctx::view::<KeyValue>).unwrap();
    wharf_keyvalue::host::wasmcloud::add_to_linker(&mut linker, Ctx::view::<KeyValue>).unwrap();
    // What caches take and give is linked with that.
    wharf_keyvalue::host::cache::add_to_linker(&mut linker, Ctx::view::<Caches>).unwrap();
    let store = memory("link").await;
    for guest in ["kv-watch-draft", "kv-watch-draft2", "kv-watch-old", "kv-watch-wasmcloud"] {
        load(guest, &store, Limits::default()).unwrap();
    }
}
