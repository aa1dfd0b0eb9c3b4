//! What the tests of Wharf share.

pub mod conformance;

pub use conformance::conformance;
