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
use kit_filter::say;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, RootContext, StreamContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType, PeerType};
use serde::Deserialize;
use std::rc::Rc;

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
        self.counters.is_some()
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::StreamContext)
    }

    fn create_stream_context(&self, _id: u32) -> Option<Box<dyn StreamContext>> {
        let (settings, counters) = (Rc::clone(&self.settings), self.counters?);
        Some(Box::new(Stream { settings, counters, bytes: [0; 2], closed: [None; 2] }))
    }
}

struct Stream {
    settings: Rc<Settings>,
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

impl Context for Stream {}

impl StreamContext for Stream {
    fn on_new_connection(&mut self) -> Action {
        if self.settings.refuse {
            let _ = hostcalls::close_downstream();
            return Action::Pause;
        }
        Action::Continue
    }

    fn on_downstream_data(&mut self, size: usize, end: bool) -> Action {
        // Held bytes come again, with those that came since.
        if size < self.settings.hold && !end {
            return Action::Pause;
        }
        self.count(Side::Downstream, size);
        let mut bytes = self.get_downstream_data(0, size).unwrap_or_default();
        let closing = self.settings.close_on.as_ref().map(|text| text.as_bytes());
        let closing = closing.filter(|text| !text.is_empty());
        if closing.is_some_and(|text| bytes.windows(text.len()).any(|piece| piece == text)) {
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
        say(LogLevel::Info, &format!("tcp {down} down, {up} up, closed by {closed:?}"));
    }
}
