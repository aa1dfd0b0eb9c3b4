//! The part of Wharf that sets up Wasmtime, and the only one.
//!
//! Everything that a guest can do to its host is bounded here: time by `ticker.rs`, memory and
//! handles by [`Limits`], the share of the processor by [`background`].

mod adapt;
pub mod background;
mod cache;
mod calls;
mod capability;
mod code;
mod ctx;
mod deadline;
mod engines;
mod failure;
mod guest;
mod held;
mod hull;
mod imports;
mod limits;
mod once;
pub mod retry;
mod source;
mod tasks;
mod ticker;
mod trim;
mod uses;
mod wanted;
mod wasi;

pub use cache::Cache;
pub use calls::{Calls, Counts};
pub use capability::{Capability, Grants, Plugin, plugin, served};
pub use code::{Code, Target, filter, surface};
pub use ctx::{Ctx, Has, Request, View};
pub use deadline::Deadline;
pub use engines::{Engine, Engines, Kind, Settings};
pub use failure::{Ended, Failure, describe};
pub use guest::{Export, Guest, Loading, Setup};
pub use held::{Charge, Held};
pub use imports::{Import, Imports, Name, Served, Unserved, WASI, unserved};
pub use limits::{Limits, Reached};
pub use once::{once, once_admitted, rest};
pub use source::{Outline, Source, Wasm};
pub use tasks::{Stop, Tasks};
pub use trim::{Trimmer, trim, trim_with};
pub use uses::{How, Use, called};
pub use wanted::Wanted;
pub use wasi::{Dir, Output, Serving, WasiSetup};
