//! A filter that does harm at one place of its life, as it is told.
//!
//! The place is the word `at` of the configuration, `{"at": "tick", "how": "trap"}`, or the value
//! of a request header, whose name the filter chooses; `how` is then the value of the header of the
//! same name with `-how`. A header's place counts for its own stream, but for `tick`.
//!
//! | place | is |
//! |---|---|
//! | `start` | the start of the VM; told by the configuration of the VM alone |
//! | `configure`, `tick` | those of the plugin; ticks come every 10 ms |
//! | `create` | the creation of a stream; told by the configuration alone |
//! | `request-headers`, `request-body`, `request-trailers` | the request's parts |
//! | `response-headers`, `response-body`, `response-trailers` | the response's parts |
//! | `done`, `log`, `delete` | the ends of a stream |
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use serde::Deserialize;

/// What is done, by the word for how. One that returns has been merciful.
pub type Act = fn(how: &str);

const PERIOD: Duration = Duration::from_millis(10);

/// Where harm is done, and how.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Place {
    at: String,
    how: String,
}

impl Place {
    fn is(&self, here: &str, act: Act) {
        if self.at == here {
            act(&self.how);
        }
    }
}

/// The root context of a filter that does harm.
pub struct Root {
    header: &'static str,
    act: Act,
    place: Place,
    /// Shared with the streams, because a request may tell what happens at the next tick.
    tick: Rc<RefCell<Place>>,
}

impl Root {
    /// A filter that is told by the request header `header`.
    pub fn new(header: &'static str, act: Act) -> Self {
        Self { header, act, place: Place::default(), tick: Rc::default() }
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_vm_start(&mut self, _size: usize) -> bool {
        let Some(place) = crate::settings::<Place>(self.get_vm_configuration()) else {
            return false;
        };
        place.is("start", self.act);
        true
    }

    fn on_configure(&mut self, _size: usize) -> bool {
        let Some(place) = crate::settings::<Place>(self.get_plugin_configuration()) else {
            return false;
        };
        place.is("configure", self.act);
        if place.at == "tick" {
            self.set_tick_period(PERIOD);
            *self.tick.borrow_mut() = place.clone();
        }
        self.place = place;
        true
    }

    fn on_tick(&mut self) {
        let place = self.tick.borrow().clone();
        place.is("tick", self.act);
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        self.place.is("create", self.act);
        Some(Box::new(Stream {
            header: self.header,
            act: self.act,
            place: self.place.clone(),
            tick: Rc::clone(&self.tick),
        }))
    }
}

struct Stream {
    header: &'static str,
    act: Act,
    place: Place,
    tick: Rc<RefCell<Place>>,
}

impl Stream {
    fn at(&self, here: &str) -> Action {
        self.place.is(here, self.act);
        Action::Continue
    }

    /// What the request asks for.
    fn listen(&mut self) {
        let Some(at) = self.get_http_request_header(self.header) else { return };
        let how = self.get_http_request_header(&format!("{}-how", self.header));
        let place = Place { at, how: how.unwrap_or_default() };
        if place.at == "tick" {
            *self.tick.borrow_mut() = place;
            // One that is not set does no harm.
            let _ = hostcalls::set_tick_period(PERIOD);
        } else {
            self.place = place;
        }
    }
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        self.at("done");
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _number: usize, _end: bool) -> Action {
        self.listen();
        self.at("request-headers")
    }

    fn on_http_request_body(&mut self, _size: usize, _end: bool) -> Action {
        self.at("request-body")
    }

    fn on_http_request_trailers(&mut self, _number: usize) -> Action {
        self.at("request-trailers")
    }

    fn on_http_response_headers(&mut self, _number: usize, _end: bool) -> Action {
        self.at("response-headers")
    }

    fn on_http_response_body(&mut self, _size: usize, _end: bool) -> Action {
        self.at("response-body")
    }

    fn on_http_response_trailers(&mut self, _number: usize) -> Action {
        self.at("response-trailers")
    }

    fn on_log(&mut self) {
        self.at("log");
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.at("delete");
    }
}
