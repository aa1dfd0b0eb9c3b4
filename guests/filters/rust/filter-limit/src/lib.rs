//! Lets so many requests of a client pass in a window of time; more are answered with 429.
//!
//! A client is what the header `x-client` says. The count is shared data, raised only if nobody
//! else has raised it meanwhile: all VMs of one id count together. When too many raise it at once,
//! the request is refused with 503.
//!
//! ```json
//! { "requests": 10, "window_ms": 1000 }
//! ```
use kit_filter::configured::Root;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use serde::Deserialize;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root::new(|settings| Box::new(Stream { settings }))));
}}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    requests: u32,
    window_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { requests: 10, window_ms: 1000 }
    }
}

struct Stream {
    settings: Rc<Settings>,
}

/// How often a count is tried to be raised that others raise as well.
const TRIES: usize = 64;

/// What one window has counted, as it is stored: the number of the window, and the count.
struct Count {
    window: u64,
    requests: u32,
}

impl Count {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (window, requests) = bytes.split_first_chunk()?;
        let requests = u32::from_le_bytes(requests.try_into().ok()?);
        Some(Self { window: u64::from_le_bytes(*window), requests })
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.window.to_le_bytes()[..], &self.requests.to_le_bytes()].concat()
    }
}

impl Stream {
    /// How many requests this is in its window, itself among them.
    fn count(&self) -> Option<u32> {
        let client = self.get_http_request_header("x-client").unwrap_or_default();
        let key = format!("limit.{client}");
        let now = self.get_current_time().duration_since(UNIX_EPOCH).ok()?.as_millis();
        let window = u64::try_from(now).ok()? / self.settings.window_ms.max(1);
        for _ in 0..TRIES {
            let (value, cas) = self.get_shared_data(&key);
            let before = value.as_deref().and_then(Count::read);
            let before = before.filter(|count| count.window == window);
            let requests = before.map_or(0, |count| count.requests).saturating_add(1);
            let count = Count { window, requests };
            if self.set_shared_data(&key, Some(&count.bytes()), cas).is_ok() {
                return Some(requests);
            }
        }
        None
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _number: usize, _end: bool) -> Action {
        match self.count() {
            Some(count) if count <= self.settings.requests => return Action::Continue,
            Some(_) => {
                let seconds = self.settings.window_ms.div_ceil(1000).to_string();
                self.send_http_response(429, vec![("retry-after", &seconds)], Some(b"too many"));
            }
            None => self.send_http_response(503, vec![], Some(b"too many at once")),
        }
        Action::Pause
    }
}
