//! Changes the bodies of requests and responses as its configuration says.
//!
//! ```json
//! { "request": { "do": "upper" }, "response": { "do": "append", "text": "!", "buffer": true } }
//! ```
//!
//! | `do` | the body |
//! |---|---|
//! | nothing | is as it was |
//! | `replace` | is `text` |
//! | `prepend`, `append` | has `text` before it, or behind it |
//! | `insert` | has `text` at the offset `at`, with `buffer` alone |
//! | `upper` | has capitals where it had small letters |
//!
//! | setting | if `true` |
//! |---|---|
//! | `buffer` | the whole body is held back and changed at once, not piece by piece |
//! | `hold` | the headers too wait for the end of the body, and get `x-body-length` |
//! | `keep_length` | `content-length` stays, which is then wrong: the host has to see to it |
use kit_filter::configured::Root;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType, Status};
use serde::Deserialize;
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| {
        Box::new(Root::new(|settings| {
            Box::new(Stream { settings, request: Seen::default(), response: Seen::default() })
        }))
    });
}}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    request: Side,
    response: Side,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Side {
    r#do: Option<Change>,
    text: String,
    at: usize,
    buffer: bool,
    hold: bool,
    keep_length: bool,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Replace,
    Prepend,
    Append,
    Insert,
    Upper,
}

struct Stream {
    settings: Rc<Settings>,
    request: Seen,
    response: Seen,
}

/// How far a body has come.
#[derive(Default)]
struct Seen {
    pieces: usize,
    bytes: usize,
}

/// One of the two bodies: where the host keeps it and its headers.
#[derive(Clone, Copy)]
struct Body(BufferType, MapType);

const REQUEST: Body = Body(BufferType::HttpRequestBody, MapType::HttpRequestHeaders);
const RESPONSE: Body = Body(BufferType::HttpResponseBody, MapType::HttpResponseHeaders);

impl Body {
    fn headers(self, side: &Side, end: bool) -> Action {
        if side.r#do.is_some_and(|change| change != Change::Upper) && !side.keep_length {
            set_header(self.1, "content-length", None);
        }
        // Without a body nobody would let the headers go.
        if side.hold && !end { Action::Pause } else { Action::Continue }
    }

    fn piece(self, side: &Side, seen: &mut Seen, size: usize, end: bool) -> Action {
        if (side.buffer || side.hold) && !end {
            return Action::Pause;
        }
        seen.pieces += 1;
        seen.bytes += size;
        if let Some(change) = side.r#do
            && let Err(status) = self.change(side, change, seen, size, end)
        {
            panic!("a change of {:?} was answered with {status:?}", self.0);
        }
        if side.hold {
            set_header(self.1, "x-body-length", Some(&seen.bytes.to_string()));
        }
        Action::Continue
    }

    /// Changes the piece that is at hand, which is everything if it was held back.
    fn change(
        self,
        side: &Side,
        change: Change,
        seen: &Seen,
        size: usize,
        end: bool,
    ) -> Result<(), Status> {
        let Self(buffer, _) = self;
        let (text, first) = (side.text.as_bytes(), seen.pieces == 1);
        match change {
            Change::Replace if first => hostcalls::set_buffer(buffer, 0, size, text),
            Change::Replace => hostcalls::set_buffer(buffer, 0, size, b""),
            Change::Prepend if first => hostcalls::set_buffer(buffer, 0, 0, text),
            Change::Append if end => hostcalls::set_buffer(buffer, size, 0, text),
            Change::Insert if side.buffer => hostcalls::set_buffer(buffer, side.at, 0, text),
            Change::Upper if size > 0 => {
                let mut bytes = hostcalls::get_buffer(buffer, 0, size)?.unwrap_or_default();
                bytes.make_ascii_uppercase();
                hostcalls::set_buffer(buffer, 0, size, &bytes)
            }
            _ => Ok(()),
        }
    }
}

fn set_header(map: MapType, name: &str, value: Option<&str>) {
    if let Err(status) = hostcalls::set_map_value(map, name, value) {
        panic!("{name} was answered with {status:?}");
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _number: usize, end: bool) -> Action {
        REQUEST.headers(&self.settings.request, end)
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        REQUEST.piece(&self.settings.request, &mut self.request, size, end)
    }

    fn on_http_response_headers(&mut self, _number: usize, end: bool) -> Action {
        RESPONSE.headers(&self.settings.response, end)
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        RESPONSE.piece(&self.settings.response, &mut self.response, size, end)
    }
}
