//! Stands in until the key-value interfaces are there.
pub(crate) struct KeyValue;
impl engine::Capability for KeyValue {
    const NAME: &'static str = "keyvalue";
    const SERVED: &'static [&'static str] = &[];
    type Prepared = base::Bound<dyn keyvalue::Store>;
    type State = ();
    fn link(_: &mut wasmtime::component::Linker<engine::Ctx>, _: &engine::Imports) -> wasmtime::Result<()> { Ok(()) }
    fn state(_: &std::sync::Arc<Self::Prepared>, _: &engine::Guest) {}
}
