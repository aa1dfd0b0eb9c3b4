//! Watches and changes what goes through a connection.
//!
//! The counters `tcp_downstream_bytes` and `tcp_upstream_bytes` count what came from either side;
//! the log has one line when a connection is over.
//!
//! ```json
//! { "upper": ["downstream"], "close_on": "bye", "hold": 8 }
//! ```
//!
//! | setting | says |
//! |---|---|
//! | `upper` | which sides' bytes get capitals: `downstream`, `upstream` |
//! | `close_on` | what in the client's bytes makes the filter close the connection |
//! | `hold` | how many of the client's bytes are held back until there are so many |
//! | `refuse` | that no connection is accepted |
//! | `trap_on` | what in the client's bytes makes the filter trap |
//! | `ask` | the upstream that is asked, with `GET /check`, whether a connection may go on |
//! | `wait_ms` | how long a connection waits before it goes on, by the filter's timer |
//! | `most` | how many connections may be open at once, by a count that all VMs share |
//! | `queue` | the queue that gets a message when a connection is over |
//! | `tell` | properties that the line of the log names, such as `source.address` |
use kit_filter::say;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, RootContext, StreamContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType, PeerType};
use serde::Deserialize;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::<Root>::default());
}}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    upper: Vec<Side>,
    close_on: Option<String>,
    hold: usize,
    refuse: bool,
    trap_on: Option<String>,
    ask: Option<String>,
    wait_ms: u64,
    most: u64,
    queue: Option<String>,
    tell: Vec<String>,
}

/// The shared count of open connections.
const OPEN: &str = "tcp-open";

/// Adds to the shared count and returns what it comes to.
fn count_open(by: i64) -> u64 {
    loop {
        let (value, cas) = hostcalls::get_shared_data(OPEN).unwrap_or_default();
        let open = value.and_then(|value| Some(i64::from_le_bytes(value.try_into().ok()?)));
        let open = open.unwrap_or_default() + by;
        // Another VM may have counted at the same time: then again.
        if hostcalls::set_shared_data(OPEN, Some(&open.to_le_bytes()), cas).is_ok() {
            return open.unsigned_abs();
        }
    }
}

/// A property as text; addresses are.
fn property(path: &str) -> String {
    let value = hostcalls::get_property(path.split('.').collect()).ok().flatten();
    value.map_or("-".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Downstream,
    Upstream,
}

#[derive(Default)]
struct Root {
    settings: Rc<Settings>,
    /// One counter for each side.
    counters: Option<[u32; 2]>,
    /// Connections that wait for the timer.
    waiting: Rc<RefCell<Vec<u32>>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let Some(settings) = kit_filter::settings(self.get_plugin_configuration()) else {
            return false;
        };
        self.settings = Rc::new(settings);
        let counter = |name| hostcalls::define_metric(MetricType::Counter, name).ok();
        self.counters = counter("tcp_downstream_bytes")
            .zip(counter("tcp_upstream_bytes"))
            .map(|(downstream, upstream)| [downstream, upstream]);
        if self.settings.wait_ms > 0 {
            self.set_tick_period(Duration::from_millis(self.settings.wait_ms));
        }
        self.counters.is_some()
    }

    fn on_tick(&mut self) {
        for id in self.waiting.borrow_mut().drain(..) {
            // It may be over.
            if hostcalls::set_effective_context(id).is_ok() {
                let _ = hostcalls::resume_downstream();
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::StreamContext)
    }

    fn create_stream_context(&self, id: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Stream {
            id,
            settings: Rc::clone(&self.settings),
            counters: self.counters?,
            waiting: Rc::clone(&self.waiting),
            bytes: [0; 2],
            closed: [None; 2],
        }))
    }
}

struct Stream {
    id: u32,
    settings: Rc<Settings>,
    waiting: Rc<RefCell<Vec<u32>>>,
    counters: [u32; 2],
    /// What came from each side, and who closed it.
    bytes: [usize; 2],
    closed: [Option<PeerType>; 2],
}

impl Stream {
    fn count(&mut self, side: Side, size: usize) {
        self.bytes[side as usize] += size;
        // An increment by nothing is none, and hosts refuse it.
        if size > 0 {
            let _ = hostcalls::increment_metric(self.counters[side as usize], size as i64);
        }
    }
}

/// Whether `text` is somewhere in `bytes`.
fn has(bytes: &[u8], text: &Option<String>) -> bool {
    let text = text.as_ref().map(|text| text.as_bytes()).filter(|text| !text.is_empty());
    text.is_some_and(|text| bytes.windows(text.len()).any(|piece| piece == text))
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _call: u32, _headers: usize, _size: usize, _: usize) {
        match self.get_http_call_response_header(":status").as_deref() {
            Some("200") => drop(hostcalls::resume_downstream()),
            _ => drop(hostcalls::close_downstream()),
        }
    }
}

impl StreamContext for Stream {
    fn on_new_connection(&mut self) -> Action {
        let settings = &*self.settings;
        let is_full = settings.most > 0 && count_open(1) > settings.most;
        if settings.refuse || is_full {
            let _ = hostcalls::close_downstream();
            return Action::Pause;
        }
        if settings.wait_ms > 0 {
            self.waiting.borrow_mut().push(self.id);
            return Action::Pause;
        }
        let Some(upstream) = &settings.ask else { return Action::Continue };
        let source = property("source.address");
        let headers = vec![
            (":method", "GET"),
            (":path", "/check"),
            (":authority", upstream),
            ("x-source", &source),
        ];
        let time = Duration::from_secs(5);
        if self.dispatch_http_call(upstream, headers, None, vec![], time).is_err() {
            let _ = hostcalls::close_downstream();
        }
        Action::Pause
    }

    fn on_downstream_data(&mut self, size: usize, end: bool) -> Action {
        // Held bytes come again, with those that came since.
        if size < self.settings.hold && !end {
            return Action::Pause;
        }
        self.count(Side::Downstream, size);
        let mut bytes = self.get_downstream_data(0, size).unwrap_or_default();
        assert!(!has(&bytes, &self.settings.trap_on), "the bytes say so");
        if has(&bytes, &self.settings.close_on) {
            let _ = hostcalls::close_downstream();
            return Action::Pause;
        }
        if self.settings.upper.contains(&Side::Downstream) {
            bytes.make_ascii_uppercase();
            self.set_downstream_data(0, size, &bytes);
        }
        Action::Continue
    }

    fn on_downstream_close(&mut self, peer: PeerType) {
        self.closed[Side::Downstream as usize] = Some(peer);
    }

    fn on_upstream_data(&mut self, size: usize, _end: bool) -> Action {
        self.count(Side::Upstream, size);
        if self.settings.upper.contains(&Side::Upstream) {
            let mut bytes = self.get_upstream_data(0, size).unwrap_or_default();
            bytes.make_ascii_uppercase();
            self.set_upstream_data(0, size, &bytes);
        }
        Action::Continue
    }

    fn on_upstream_close(&mut self, peer: PeerType) {
        self.closed[Side::Upstream as usize] = Some(peer);
    }

    fn on_log(&mut self) {
        let ([down, up], closed) = (self.bytes, self.closed);
        let mut line = format!("tcp {down} down, {up} up, closed by {closed:?}");
        for path in &self.settings.tell {
            line += &format!(", {path}={}", property(path));
        }
        say(LogLevel::Info, &line);
        if self.settings.most > 0 {
            count_open(-1);
        }
        let queue = self.settings.queue.as_ref();
        let queue = queue.and_then(|name| hostcalls::resolve_shared_queue("", name).ok().flatten());
        if let Some(queue) = queue {
            let _ = hostcalls::enqueue_shared_queue(queue, Some(line.as_bytes()));
        }
    }
}
