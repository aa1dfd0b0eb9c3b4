//! `wasi:config` in front of Layers.
