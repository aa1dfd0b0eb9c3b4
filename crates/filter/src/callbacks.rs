//! What a filter exports, looked up once.

use crate::plugin::Plugin;
use crate::state::State;
use wasmtime::{Instance, Store, TypedFunc, WasmParams, WasmResults};

type One = TypedFunc<u32, ()>;
type OneAnswer = TypedFunc<u32, u32>;
type Two = TypedFunc<(u32, u32), ()>;
type TwoAnswer = TypedFunc<(u32, u32), u32>;
type Five = TypedFunc<(u32, u32, u32, u32, u32), ()>;
type Three = TypedFunc<(u32, u32, u32), ()>;
type ThreeAnswer = TypedFunc<(u32, u32, u32), u32>;

/// A callback about headers, which before 0.2.0 was told nothing of the end.
#[derive(Clone)]
pub(crate) enum OnHeaders {
    Three(ThreeAnswer),
    Two(TwoAnswer),
}

/// The callbacks of one instance; those that it does not export, or may not have called, are
/// missing.
pub(crate) struct Callbacks {
    pub(crate) context_create: Option<Two>,
    pub(crate) done: Option<OneAnswer>,
    pub(crate) log: Option<One>,
    pub(crate) delete: Option<One>,
    pub(crate) vm_start: Option<TwoAnswer>,
    pub(crate) configure: Option<TwoAnswer>,
    pub(crate) tick: Option<One>,
    pub(crate) new_connection: Option<OneAnswer>,
    pub(crate) downstream_data: Option<ThreeAnswer>,
    pub(crate) upstream_data: Option<ThreeAnswer>,
    pub(crate) downstream_close: Option<Two>,
    pub(crate) upstream_close: Option<Two>,
    pub(crate) request_headers: Option<OnHeaders>,
    pub(crate) request_body: Option<ThreeAnswer>,
    pub(crate) request_trailers: Option<TwoAnswer>,
    pub(crate) response_headers: Option<OnHeaders>,
    pub(crate) response_body: Option<ThreeAnswer>,
    pub(crate) response_trailers: Option<TwoAnswer>,
    pub(crate) http_call: Option<Five>,
    pub(crate) grpc_initial: Option<Three>,
    pub(crate) grpc_message: Option<Three>,
    pub(crate) grpc_trailing: Option<Three>,
    pub(crate) grpc_close: Option<Three>,
    pub(crate) queue_ready: Option<Two>,
    pub(crate) foreign: Option<Three>,
}

impl Callbacks {
    pub(crate) fn new(instance: &Instance, store: &mut Store<State>, plugin: &Plugin) -> Self {
        let mut find = Find { instance, store, plugin };
        Self {
            context_create: find.function("proxy_on_context_create"),
            done: find.function("proxy_on_done"),
            log: find.function("proxy_on_log"),
            delete: find.function("proxy_on_delete"),
            vm_start: find.function("proxy_on_vm_start"),
            configure: find.function("proxy_on_configure"),
            tick: find.function("proxy_on_tick"),
            new_connection: find.function("proxy_on_new_connection"),
            downstream_data: find.function("proxy_on_downstream_data"),
            upstream_data: find.function("proxy_on_upstream_data"),
            downstream_close: find.function("proxy_on_downstream_connection_close"),
            upstream_close: find.function("proxy_on_upstream_connection_close"),
            request_headers: find.headers("proxy_on_request_headers"),
            request_body: find.function("proxy_on_request_body"),
            request_trailers: find.function("proxy_on_request_trailers"),
            response_headers: find.headers("proxy_on_response_headers"),
            response_body: find.function("proxy_on_response_body"),
            response_trailers: find.function("proxy_on_response_trailers"),
            http_call: find.function("proxy_on_http_call_response"),
            grpc_initial: find.function("proxy_on_grpc_receive_initial_metadata"),
            grpc_message: find.function("proxy_on_grpc_receive"),
            grpc_trailing: find.function("proxy_on_grpc_receive_trailing_metadata"),
            grpc_close: find.function("proxy_on_grpc_close"),
            queue_ready: find.function("proxy_on_queue_ready"),
            foreign: find.function("proxy_on_foreign_function"),
        }
    }
}

struct Find<'a> {
    instance: &'a Instance,
    store: &'a mut Store<State>,
    plugin: &'a Plugin,
}

impl Find<'_> {
    fn function<P: WasmParams, R: WasmResults>(&mut self, name: &str) -> Option<TypedFunc<P, R>> {
        if !self.plugin.may(name) {
            return None;
        }
        self.instance.get_typed_func(&mut *self.store, name).ok()
    }

    fn headers(&mut self, name: &str) -> Option<OnHeaders> {
        let three = self.function(name).map(OnHeaders::Three);
        three.or_else(|| self.function(name).map(OnHeaders::Two))
    }
}
