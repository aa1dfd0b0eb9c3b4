//! Guests that pass their calls on to `wasi:logging`, with and without a version.

use super::*;
use crate::logger::Limits;
use engine::{Calls, Deadline, Engines, Grants, Loading, Request, Setup};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use wasmtime::component::{Component, Instance, ResourceTable, Val};
use wasmtime::{AsContextMut, Store};

/// A component that exports `log` as it imports it from the interface `id`.
fn component(id: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "{id}" (instance $logging
                (type $l (enum "trace" "debug" "info" "warn" "error" "critical"))
                (export "level" (type $level (eq $l)))
                (export "log" (func (param "level" $level)
                    (param "context" string) (param "message" string)))))
            (core module $libc
                (memory (export "memory") 1)
                (global $top (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (global.get $top)
                    (global.set $top (i32.add (global.get $top) (local.get 3)))))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))
            (core func $log (canon lower (func $logging "log") (memory $memory)))
            (core module $main
                (import "logging" "log" (func $log (param i32 i32 i32 i32 i32)))
                (func (export "log") (param i32 i32 i32 i32 i32)
                    (call $log (local.get 0) (local.get 1) (local.get 2)
                        (local.get 3) (local.get 4))))
            (core instance $main (instantiate $main
                (with "logging" (instance (export "log" (func $log))))))
            (alias export $logging "level" (type $level))
            (func (export "log") (param "level" $level)
                (param "context" string) (param "message" string)
                (canon lift (core func $main "log") (memory $memory) (realloc $realloc))))"#
    );
    wat::parse_str(text).unwrap()
}

/// What was logged on this thread, in JSON.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let filter = crate::Filter::parse("off").unwrap();
        let subscriber = crate::init::json(&filter, move || writer.clone()).unwrap();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// Every record as `level component request context message critical`.
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        let shown = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let fields = ["level", "component", "request", "context", "message", "critical"];
            let shown = fields.iter().filter_map(|field| record.get(field));
            shown.map(|value| value.to_string().replace('"', "")).collect::<Vec<_>>().join(" ")
        };
        text.lines().map(shown).collect()
    }
}

async fn log<T: Send>(store: &mut Store<T>, instance: Instance, level: &str, what: [&str; 2]) {
    let log = instance.get_func(&mut *store, "log").unwrap();
    let [context, message] = what.map(|text| Val::String(text.to_owned()));
    let level = Val::Enum(level.to_owned());
    log.call_async(store.as_context_mut(), &[level, context, message], &mut []).await.unwrap();
}

fn logger() -> Logger {
    Logger::new("web", LevelFilter::DEBUG, Limits::default())
}

#[tokio::test]
async fn both_versions_log_with_component_request_and_context() {
    let (logged, _guard) = Log::start();
    let engines = Engines::new(engine::Settings { instances: 10, ..Default::default() });
    for id in Logging::SERVED {
        let mut grants = Grants::default();
        grants.grant::<Logging>(Arc::new(logger()));
        let setup = Setup {
            name: "web".into(),
            source: engine::Source::new(Path::new("web.wasm"), component(id)).unwrap(),
            limits: engine::Limits::default(),
            grants,
            wasi: engine::WasiSetup::default(),
            winch: false,
        };
        let plugins = &[engine::plugin::<Logging>()];
        let loading = Loading { engines: &engines, cache: None, plugins };
        let guest = Guest::load(setup, loading).unwrap();
        let deadline = Deadline::after(Duration::from_secs(60));
        let mut store = guest.store(deadline.clone());
        store.data_mut().begin(Request { id: Some("r1".into()), deadline: None }, deadline.clone());
        let instance = guest.pre().instantiate_async(&mut store).await.unwrap();
        for level in ["trace", "debug", "info", "warn"] {
            log(&mut store, instance, level, ["db", "slow"]).await;
        }
        store.data_mut().begin(Request { id: Some("r2".into()), deadline: None }, deadline);
        log(&mut store, instance, "error", ["", "wrong"]).await;
        log(&mut store, instance, "critical", ["db", "down"]).await;
        let expected = [
            "DEBUG web r1 db slow",
            "INFO web r1 db slow",
            "WARN web r1 db slow",
            "ERROR web r2 wrong",
            "ERROR web r2 db down true",
        ];
        assert_eq!(logged.take(), expected, "{id}");
    }
}

/// A host that knows nothing of [`Ctx`].
struct Foreign {
    logger: Logger,
    table: ResourceTable,
    request: Request,
    calls: Calls,
}

#[tokio::test]
async fn a_foreign_host_serves_both_versions_at_once() {
    let (logged, _guard) = Log::start();
    let engine = wasmtime::Engine::default();
    let mut linker = Linker::<Foreign>::new(&engine);
    add_to_linker(&mut linker, |host| {
        View::new(&mut host.logger, &mut host.table, &host.request, &host.calls)
    })
    .unwrap();
    for id in Logging::SERVED {
        let foreign = Foreign {
            logger: logger(),
            table: ResourceTable::new(),
            request: Request::default(),
            calls: Calls::new("web", Duration::from_secs(1), 1),
        };
        let mut store = Store::new(&engine, foreign);
        let component = Component::new(&engine, component(id)).unwrap();
        let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
        log(&mut store, instance, "info", ["", "hello"]).await;
        assert_eq!(logged.take(), ["INFO web hello"], "{id}");
    }
}
