//! The specification, chapter by chapter, each test beside the sentence that it is about.
//! `conformance.txt` says what has to be tried, and which tests try it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in tests a panic is the finding"
)]

extern crate wharf_filter as filter;

mod support;

mod buffers;
mod callouts;
mod calls;
mod conformance;
mod contexts;
mod expressions;
mod failure;
mod fields;
mod foreign;
mod hostile;
mod http;
mod integration;
mod logging;
mod memory;
mod metrics;
mod properties;
mod random;
mod replies;
mod shared;
mod tcp;
mod wasi;
