//! One client per vendor, shared by the capabilities; and TLS, shared by everything.

pub mod tls;
