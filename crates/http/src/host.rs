//! `wasi:http` 0.2 and 0.3 in front of [`Hooks`].

use crate::hooks::Hooks;
use engine::{Capability, Ctx, Guest, Imports, Kind, View};
use http_types::HeaderMap;
use std::sync::Arc;
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings as p2;
use wasmtime_wasi_http::p3::bindings as p3;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtx, WasiHttpCtxView};

/// HTTP, in and out.
pub struct Http;

/// What each instance keeps for HTTP.
pub struct State {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl Capability for Http {
    const NAME: &'static str = "http";
    const SERVED: &'static [&'static str] = &[
        "wasi:http/outgoing-handler@0.2.12",
        "wasi:http/types@0.2.12",
        "wasi:http/client@0.3.0",
        "wasi:http/types@0.3.0",
    ];
    type Prepared = Hooks;
    type State = State;

    fn link(linker: &mut Linker<Ctx>, imports: &Imports) -> wasmtime::Result<()> {
        // A component that exports a handler may import nothing but the types, and still needs
        // them: the request is one of them.
        if imports.wants("wasi:http/types@0.2.12") {
            let options = p2::LinkOptions::default();
            p2::http::types::add_to_linker::<_, WasiHttp>(linker, &(&options).into(), view)?;
            p2::http::outgoing_handler::add_to_linker::<_, WasiHttp>(linker, view)?;
        }
        if imports.wants("wasi:http/types@0.3.0") {
            p3::http::types::add_to_linker::<_, WasiHttp>(linker, view)?;
            p3::http::client::add_to_linker::<_, WasiHttp>(linker, view)?;
        }
        Ok(())
    }

    fn state(prepared: &Arc<Hooks>, guest: &Guest) -> State {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(guest.limits().header_size);
        State { ctx, hooks: Hooks::clone(prepared).with_calls(guest.calls().of_another_instance()) }
    }
}

/// What the bindings of `wasmtime-wasi-http` may touch.
pub(crate) fn view(ctx: &mut Ctx) -> WasiHttpCtxView<'_> {
    let View { state, table, .. } = ctx.view::<Http>();
    WasiHttpCtxView { hooks: &mut state.hooks, table, ctx: &mut state.ctx }
}

/// Lets the requests that the guest sends continue the chain of the one that it answers, so that a
/// loop through several hosts comes to its end.
pub(crate) fn follow(ctx: &mut Ctx, headers: &HeaderMap) {
    begin_chain(ctx);
    join_chain(ctx, headers);
}

/// Begins anew, for an instance that had no request.
pub(crate) fn begin_chain(ctx: &mut Ctx) {
    ctx.view::<Http>().state.hooks.begin_chain();
}

/// Continues the longest chain of the requests that the instance answers at once.
pub(crate) fn join_chain(ctx: &mut Ctx, headers: &HeaderMap) {
    ctx.view::<Http>().state.hooks.join_chain(headers);
}

/// Which handler a component exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `wasi:http/incoming-handler@0.2.x`.
    P2,
    /// `wasi:http/handler@0.3.x`.
    P3,
}

/// Which handler `guest` exports, if any.
pub fn handler(guest: &Guest) -> Option<Version> {
    guest.exports().iter().find_map(|export| {
        let (interface, version) = export.name.split_once('@')?;
        match interface {
            "wasi:http/incoming-handler" if version.starts_with("0.2.") => Some(Version::P2),
            "wasi:http/handler"
                if version.starts_with("0.3.") && guest.engine().kind() != Kind::Plain =>
            {
                Some(Version::P3)
            }
            _ => None,
        }
    })
}
