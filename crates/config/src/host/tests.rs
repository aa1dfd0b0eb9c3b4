//! Guests that pass their calls on to `wasi:config`, at every version.

use super::*;
use crate::Source;
use engine::{Calls, Deadline, Engines, Grants, Guest, Loading, Request, Setup};
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch::{Receiver, Sender};
use wasmtime::component::{Component, Instance, ResourceTable, Val};
use wasmtime::{AsContextMut, Store};

/// A component that exports what it imports from the interface `id`.
fn component(id: &str) -> Vec<u8> {
    let error = if id == RUNTIME { "config-error" } else { "error" };
    let text = format!(
        r#"(component
            (import "{id}" (instance $config
                (type $e (variant (case "upstream" string) (case "io" string)))
                (export "{error}" (type $error (eq $e)))
                (export "get" (func (param "key" string)
                    (result (result (option string) (error $error)))))
                (export "get-all" (func
                    (result (result (list (tuple string string)) (error $error)))))))
            (core module $libc
                (memory (export "memory") 1)
                (global $top (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (global.get $top)
                    (global.set $top (i32.add (global.get $top)
                        (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8))))))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))
            (core func $get
                (canon lower (func $config "get") (memory $memory) (realloc $realloc)))
            (core func $get-all
                (canon lower (func $config "get-all") (memory $memory) (realloc $realloc)))
            (core module $main
                (import "config" "get" (func $get (param i32 i32 i32)))
                (import "config" "get-all" (func $get-all (param i32)))
                (func (export "get") (param i32 i32) (result i32)
                    (call $get (local.get 0) (local.get 1) (i32.const 16))
                    (i32.const 16))
                (func (export "get-all") (result i32)
                    (call $get-all (i32.const 16))
                    (i32.const 16)))
            (core instance $main (instantiate $main (with "config" (instance
                (export "get" (func $get)) (export "get-all" (func $get-all))))))
            (alias export $config "{error}" (type $error))
            (func (export "get") (param "key" string)
                (result (result (option string) (error $error)))
                (canon lift (core func $main "get") (memory $memory) (realloc $realloc)))
            (func (export "get-all") (result (result (list (tuple string string)) (error $error)))
                (canon lift (core func $main "get-all") (memory $memory) (realloc $realloc))))"#
    );
    wat::parse_str(text).unwrap()
}

/// A source that says what it is told.
struct Told(Sender<Arc<Snapshot>>);

impl Source for Told {
    fn subscribe(&self) -> Receiver<Arc<Snapshot>> {
        self.0.subscribe()
    }
}

fn snapshot(pairs: &[(&str, &str)]) -> Snapshot {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn get<T: Send>(store: &mut Store<T>, instance: Instance, key: &str) -> Option<String> {
    let get = instance.get_func(&mut *store, "get").unwrap();
    let mut results = [Val::Bool(false)];
    get.call_async(store.as_context_mut(), &[Val::String(key.to_owned())], &mut results)
        .await
        .unwrap();
    let [Val::Result(Ok(Some(value)))] = results else { panic!("{results:?}") };
    match *value {
        Val::Option(None) => None,
        Val::Option(Some(value)) => match *value {
            Val::String(value) => Some(value),
            value => panic!("{value:?}"),
        },
        value => panic!("{value:?}"),
    }
}

async fn get_all<T: Send>(store: &mut Store<T>, instance: Instance) -> Vec<(String, String)> {
    let get_all = instance.get_func(&mut *store, "get-all").unwrap();
    let mut results = [Val::Bool(false)];
    get_all.call_async(store.as_context_mut(), &[], &mut results).await.unwrap();
    let [Val::Result(Ok(Some(list)))] = &results else { panic!("{results:?}") };
    let Val::List(list) = &**list else { panic!("{list:?}") };
    let pair = |value: &Val| match value {
        Val::Tuple(pair) => match pair.as_slice() {
            [Val::String(key), Val::String(value)] => (key.clone(), value.clone()),
            pair => panic!("{pair:?}"),
        },
        value => panic!("{value:?}"),
    };
    list.iter().map(pair).collect()
}

fn load(engines: &Engines, id: &str, layers: &Arc<Layers>) -> Arc<Guest> {
    let mut grants = Grants::default();
    grants.grant::<Config>(Arc::clone(layers));
    let setup = Setup {
        name: "web".into(),
        source: engine::Source::new(Path::new("web.wasm"), component(id)).unwrap(),
        limits: engine::Limits::default(),
        grants,
        wasi: engine::WasiSetup::default(),
        winch: false,
    };
    let plugins = &[engine::plugin::<Config>()];
    let loading = Loading { engines, cache: None, plugins };
    Guest::load(setup, loading).unwrap()
}

#[tokio::test]
async fn every_served_version_reads_one_snapshot_per_request() {
    let settings = engine::Settings { instances: 10, ..engine::Settings::default() };
    let engines = Engines::new(settings);
    for id in Config::SERVED {
        let told = Arc::new(Told(Sender::new(Arc::new(snapshot(&[("a", "1"), ("b", "")])))));
        let layers = Layers::new(snapshot(&[("c", "3")]), vec![Arc::clone(&told) as _]);
        let layers = Arc::new(layers);
        let guest = load(&engines, id, &layers);
        let deadline = Deadline::after(Duration::from_secs(60));
        let mut store = guest.store(deadline.clone());
        let instance = guest.pre().instantiate_async(&mut store).await.unwrap();

        assert_eq!(get(&mut store, instance, "a").await.as_deref(), Some("1"), "{id}");
        assert_eq!(get(&mut store, instance, "b").await.as_deref(), Some(""));
        assert_eq!(get(&mut store, instance, "nothing").await, None);
        told.0.send_replace(Arc::new(snapshot(&[("a", "2")])));
        while layers.current().get("a") != Some("2") {
            tokio::task::yield_now().await;
        }
        let seen = get_all(&mut store, instance).await;
        let seen: Vec<_> = seen.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(seen, [("a", "1"), ("b", ""), ("c", "3")], "the request began before");

        store.data_mut().begin(Request::default(), deadline);
        assert_eq!(get(&mut store, instance, "a").await.as_deref(), Some("2"));
        assert_eq!(get(&mut store, instance, "b").await, None);
    }
}

/// A host that knows nothing of [`Ctx`].
struct Foreign {
    snapshot: Arc<Snapshot>,
    table: ResourceTable,
    request: Request,
    calls: Calls,
}

#[tokio::test]
async fn a_foreign_host_serves_every_version_at_once() {
    let engine = wasmtime::Engine::default();
    let mut linker = Linker::<Foreign>::new(&engine);
    add_to_linker(&mut linker, |host| {
        View::new(&mut host.snapshot, &mut host.table, &host.request, &host.calls)
    })
    .unwrap();
    for id in Config::SERVED {
        let foreign = Foreign {
            snapshot: Arc::new(snapshot(&[("a", "1")])),
            table: ResourceTable::new(),
            request: Request::default(),
            calls: Calls::new("web", Duration::from_secs(1), 1),
        };
        let mut store = Store::new(&engine, foreign);
        let component = Component::new(&engine, component(id)).unwrap();
        let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
        assert_eq!(get(&mut store, instance, "a").await.as_deref(), Some("1"), "{id}");
    }
}
