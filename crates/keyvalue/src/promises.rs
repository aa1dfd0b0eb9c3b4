//! What every store must do; run for each backend, and by `wharf conformance` for a server.
