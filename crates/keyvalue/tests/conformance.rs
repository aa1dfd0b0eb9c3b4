//! Every promise of the contract, on every backend.

fn main() {}
