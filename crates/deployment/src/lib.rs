//! From `wharf.toml` to a plan, with every mistake at once.
//!
//! [`read`] takes a deployment file, a folder with one, or a bare component, and gives a [`Plan`]
//! in which everything was checked that can be checked without opening anything: or a [`Report`]
//! of every mistake, each with its line, its column and the nearest known word.
//!
//! The program hands in its capabilities as data, see [`Capability`]; this crate knows none.

mod binding;
mod component;
mod document;
mod expand;
mod filter;
mod grants;
mod http;
mod input;
mod keys;
mod needs;
mod notes;
mod plan;
mod reader;
mod reading;
mod reference;
mod report;
mod route;
mod secrets;
mod section;
mod settings;
mod source;
mod subscribe;
mod tcp;
mod text;
mod triggers;
mod upstream;
mod warnings;

pub use binding::{Binding, Capability, Chosen};
pub use filter::{Filter, FilterLimits, FilterUse, HeadersStop, Isolation, OnFailure};
pub use input::{FILE, Input};
pub use needs::Needs;
pub use plan::{
    App, CloudEvents, Component, Engine, Files, Http, Http2, Keys, Limits, Listen, Log, LogFormat,
    Plan, Respond, Reuse, Route, Schedule, Scope, Start, Subscribe, Target, Timer, Tls, Watch,
};
pub use reading::read;
pub use reference::reference;
pub use report::{Entry, Report, Severity};
pub use source::At;
pub use tcp::Tcp;
pub use text::Text;
pub use upstream::{
    Balance, Ejection, Endpoint, HashOn, Health, Identity, Retries, Upstream, UpstreamLimits,
};
