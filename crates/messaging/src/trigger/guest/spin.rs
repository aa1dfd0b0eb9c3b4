//! Spin's trigger of Redis, which takes what any broker has: one content, without its topic.

use super::{Instance, Mail, Outcome};
use engine::Ctx;
use wasmtime::component::Accessor;

mod spin2 {
    //! Generated from the interface of Spin 1 and 2.
    wasmtime::component::bindgen!({
        path: "wit/spin2",
        world: "fermyon:spin/inbound",
        exports: { default: async },
    });
}

mod spin3 {
    //! Generated from the interface of Spin 3 and 4, which is one of WASI 0.3.
    wasmtime::component::bindgen!({
        path: "wit/spin3",
        world: "spin:redis/inbound",
        exports: { default: async | store },
    });
}

pub(super) type Pre2 = spin2::InboundPre<Ctx>;
pub(super) type Pre3 = spin3::InboundPre<Ctx>;

pub(super) async fn call2(
    store: &mut Instance,
    pre: &Pre2,
    Mail { message, .. }: Mail,
) -> wasmtime::Result<Outcome> {
    let guest = pre.instantiate_async(&mut *store).await?;
    let handler = guest.fermyon_spin_inbound_redis();
    let said = handler.call_handle_message(store, &Vec::from(message.data)).await?;
    // It has no words.
    Ok(said.map_err(|_error| "the handler failed".to_owned()).into())
}

pub(super) async fn call3(
    store: &mut Instance,
    pre: &Pre3,
    Mail { message, .. }: Mail,
) -> wasmtime::Result<Outcome> {
    use spin3::spin::redis::redis::Error;
    let guest = pre.instantiate_async(&mut *store).await?;
    let handled = async |accessor: &Accessor<Ctx>| {
        let handler = guest.spin_redis_inbound_redis();
        let said = handler.call_handle_message(accessor, Vec::from(message.data)).await?;
        engine::rest(accessor).await;
        wasmtime::error::Ok(said)
    };
    let said = store.run_concurrent(handled).await??;
    let why = |error| match error {
        Error::InvalidAddress => "invalid address".to_owned(),
        Error::TooManyConnections => "too many connections".to_owned(),
        Error::TypeError => "a value is of another type".to_owned(),
        Error::Other(why) => why,
    };
    Ok(said.map_err(why).into())
}
