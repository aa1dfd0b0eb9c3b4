//! The root context of a filter that reads its settings and begins streams with them.
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use serde::de::DeserializeOwned;
use std::rc::Rc;

/// Settings, and how a stream begins with them.
pub struct Root<T> {
    settings: Rc<T>,
    stream: fn(Rc<T>) -> Box<dyn HttpContext>,
}

impl<T: Default> Root<T> {
    /// A root whose streams begin so.
    pub fn new(stream: fn(Rc<T>) -> Box<dyn HttpContext>) -> Self {
        Self { settings: Rc::default(), stream }
    }
}

impl<T> Context for Root<T> {}

impl<T: Default + DeserializeOwned> RootContext for Root<T> {
    fn on_configure(&mut self, _size: usize) -> bool {
        let settings = crate::settings(self.get_plugin_configuration());
        settings.map(|settings| self.settings = Rc::new(settings)).is_some()
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some((self.stream)(Rc::clone(&self.settings)))
    }
}
