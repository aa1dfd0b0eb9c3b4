//! Edits the headers and trailers of requests and responses as its configuration says.
//!
//! ```json
//! {
//!     "request": { "remove": ["cookie"], "set": [["x-a", "1"]], "add": [["x-b", "2"]] },
//!     "response": { "copy": [["etag", "x-etag"]] },
//!     "request_trailers": {},
//!     "response_trailers": { "all": [["x-only", "this"]] }
//! }
//! ```
//!
//! In this order: `all` takes the place of everything, `remove`, `set` (in the place of what has
//! the name), `add` (beside it), `copy` (from a name to another).
use kit_filter::configured::Root;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType, Status};
use serde::Deserialize;
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root::new(|settings| Box::new(Stream { settings }))));
}}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    request: Edits,
    request_trailers: Edits,
    response: Edits,
    response_trailers: Edits,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Edits {
    all: Option<Vec<(String, String)>>,
    remove: Vec<String>,
    set: Vec<(String, String)>,
    add: Vec<(String, String)>,
    copy: Vec<(String, String)>,
}

impl Edits {
    fn apply(&self, map: MapType) -> Action {
        if let Err(status) = self.try_apply(map) {
            panic!("an edit of {map:?} was answered with {status:?}");
        }
        Action::Continue
    }

    fn try_apply(&self, map: MapType) -> Result<(), Status> {
        if let Some(pairs) = &self.all {
            hostcalls::set_map(map, pairs.iter().map(|(name, it)| (&**name, &**it)).collect())?;
        }
        for name in &self.remove {
            hostcalls::set_map_value(map, name, None)?;
        }
        for (name, value) in &self.set {
            hostcalls::set_map_value(map, name, Some(value))?;
        }
        for (name, value) in &self.add {
            hostcalls::add_map_value(map, name, value)?;
        }
        for (from, to) in &self.copy {
            if let Some(value) = hostcalls::get_map_value_bytes(map, from)? {
                hostcalls::set_map_value_bytes(map, to, Some(&value))?;
            }
        }
        Ok(())
    }
}

struct Stream {
    settings: Rc<Settings>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _number: usize, _end: bool) -> Action {
        self.settings.request.apply(MapType::HttpRequestHeaders)
    }

    fn on_http_request_trailers(&mut self, _number: usize) -> Action {
        self.settings.request_trailers.apply(MapType::HttpRequestTrailers)
    }

    fn on_http_response_headers(&mut self, _number: usize, _end: bool) -> Action {
        self.settings.response.apply(MapType::HttpResponseHeaders)
    }

    fn on_http_response_trailers(&mut self, _number: usize) -> Action {
        self.settings.response_trailers.apply(MapType::HttpResponseTrailers)
    }
}
