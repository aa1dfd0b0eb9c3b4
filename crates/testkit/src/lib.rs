//! What the tests of Wharf share.

pub mod certificates;
pub mod conformance;
pub mod disk;
pub mod guests;
pub mod program;
pub mod proxy;
pub mod random;
pub mod servers;
pub mod stranger;

pub use conformance::conformance;
pub use guests::guest;
