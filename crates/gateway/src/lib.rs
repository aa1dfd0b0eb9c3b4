//! Listeners, TLS, routes and the request path.
//!
//! A request goes through `path.rs` from top to bottom; a listener's connections stay on the
//! thread that accepted them, and so do their guests, while they behave.

pub mod admin;
mod body;
mod connection;
mod failure;
pub mod filter;
mod forwarded;
mod id;
mod io;
mod listener;
mod path;
mod quiet;
mod routes;
mod server;
mod settings;
mod stall;
pub mod tcp;
pub mod upstream;

pub use listener::Bound;
pub use routes::{Forward, Respond, Route, Routes, Target};
pub use server::{Report, Server};
pub use settings::{Listener, Settings};
