//! Asks a cluster about every request before it goes on: 200 lets it pass.
//!
//! The call has the path of the configuration, and `authorization`, `x-method` and `x-path` of the
//! request. 401 and 403 are the answer to the client as well, with their body and their
//! `www-authenticate`; whatever else comes, and a call that fails, is 503. What passed has
//! `x-user` as the cluster said, and never as the client said.
//!
//! ```json
//! { "cluster": "auth", "path": "/check", "timeout_ms": 1000 }
//! ```
use kit_filter::configured::Root;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use serde::Deserialize;
use std::rc::Rc;
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root::new(|settings| Box::new(Stream { settings }))));
}}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    cluster: String,
    path: String,
    timeout_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cluster: "auth".to_owned(), path: "/check".to_owned(), timeout_ms: 1000 }
    }
}

struct Stream {
    settings: Rc<Settings>,
}

impl Stream {
    fn ask(&self) -> bool {
        let settings = &*self.settings;
        let header = |name: &str| self.get_http_request_header(name).unwrap_or_default();
        let (token, method, path) = (header("authorization"), header(":method"), header(":path"));
        let mut headers = vec![
            (":method", "GET"),
            (":path", &*settings.path),
            (":authority", &*settings.cluster),
            ("x-method", &*method),
            ("x-path", &*path),
        ];
        if !token.is_empty() {
            headers.push(("authorization", &token));
        }
        let timeout = Duration::from_millis(settings.timeout_ms);
        self.dispatch_http_call(&settings.cluster, headers, None, vec![], timeout).is_ok()
    }

    fn unavailable(&self) {
        self.send_http_response(503, vec![], Some(b"who you are cannot be found out"));
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _call: u32, _headers: usize, size: usize, _: usize) {
        let headers = self.get_http_call_response_headers();
        let value = |name| headers.iter().find(|(key, _)| key == name).map(|(_, it)| it.as_str());
        match value(":status") {
            Some("200") => {
                self.set_http_request_header("x-user", value("x-user"));
                self.resume_http_request();
            }
            Some(status @ ("401" | "403")) => {
                let body = self.get_http_call_response_body(0, size);
                let scheme = value("www-authenticate").map(|scheme| ("www-authenticate", scheme));
                let status = if status == "401" { 401 } else { 403 };
                self.send_http_response(status, scheme.into_iter().collect(), body.as_deref());
            }
            _ => self.unavailable(),
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _number: usize, _end: bool) -> Action {
        if !self.ask() {
            self.unavailable();
        }
        // Also when there is an answer already: the request must not go on.
        Action::Pause
    }
}
