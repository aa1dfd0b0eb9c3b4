//! Asks a gRPC service about every request before it goes on.
//!
//! The message is a protobuf message with the request's path as field 1, a text; so is the answer,
//! whose text the request then has as `x-grpc-answer`. A call that fails, or does not begin, is
//! answered with 503, and with the code in `x-grpc-status`.
//!
//! ```json
//! { "cluster": "grpc", "service": "test.Echo", "method": "Say", "timeout_ms": 1000 }
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
    service: String,
    method: String,
    timeout_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster: "grpc".to_owned(),
            service: "test.Echo".to_owned(),
            method: "Say".to_owned(),
            timeout_ms: 1000,
        }
    }
}

struct Stream {
    settings: Rc<Settings>,
}

impl Stream {
    fn fail(&self, status: &str) {
        self.send_http_response(503, vec![("x-grpc-status", status)], None);
    }
}

/// Field 1 of protobuf, of the kind that has a length.
const FIELD: u8 = 1 << 3 | 2;

fn message(text: &str) -> Vec<u8> {
    let mut message = vec![FIELD];
    let mut length = text.len();
    while length >= 0x80 {
        message.push(length as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend(text.as_bytes());
    message
}

/// The text of a message that has one and nothing else.
fn text(message: &[u8]) -> Option<String> {
    let mut bytes = message.strip_prefix(&[FIELD])?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        bytes = rest;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    (bytes.len() == length).then(|| String::from_utf8_lossy(bytes).into_owned())
}

impl Context for Stream {
    fn on_grpc_call_response(&mut self, _call: u32, status: u32, size: usize) {
        let answer = self.get_grpc_call_response_body(0, size).unwrap_or_default();
        match text(&answer).filter(|_| status == 0) {
            Some(text) => {
                self.set_http_request_header("x-grpc-answer", Some(&text));
                self.resume_http_request();
            }
            None => self.fail(&status.to_string()),
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _number: usize, _end: bool) -> Action {
        let settings = &*self.settings;
        let path = self.get_http_request_header(":path").unwrap_or_default();
        let call = self.dispatch_grpc_call(
            &settings.cluster,
            &settings.service,
            &settings.method,
            vec![("x-from", b"filter-grpc")],
            Some(&message(&path)),
            Duration::from_millis(settings.timeout_ms),
        );
        if call.is_err() {
            self.fail("not called");
        }
        Action::Pause
    }
}
