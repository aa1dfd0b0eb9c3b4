//! What Wharf wants to reach.

use super::report::{Goal, Measure};

/// Over HTTP.
pub(super) const HTTP: &[Goal] = &[
    Goal {
        words: "0.2, a fresh instance: CPU × `wasmtime serve`",
        at_most: 0.6,
        measure: Measure::Ratio("wharf-p2", "wasmtime-p2"),
    },
    Goal {
        words: "0.2, an instance for 128 requests: CPU × `wasmtime serve`",
        at_most: 0.8,
        measure: Measure::Ratio("wharf-p2-reuse", "wasmtime-p2-reuse"),
    },
    Goal {
        words: "0.3, defaults: CPU × `wasmtime serve`",
        at_most: 0.8,
        measure: Measure::Ratio("wharf-p3", "wasmtime-p3"),
    },
    Goal {
        words: "get and set on `memory:`, CPU µs",
        at_most: 5.0,
        measure: Measure::Extra("wharf-kv-memory", "wharf-kv-memory-without"),
    },
    Goal {
        words: "get and set on `embedded:` relaxed, CPU µs",
        at_most: 25.0,
        measure: Measure::Extra("wharf-kv-relaxed", "wharf-kv-relaxed-without"),
    },
    Goal { words: "start to first answer, ms", at_most: 10.0, measure: Measure::Start("wharf-p2") },
    Goal {
        words: "RSS after the first answer, MB",
        at_most: 30.0,
        measure: Measure::Memory("wharf-p2"),
    },
];

/// Of filters.
pub(super) const FILTER: &[Goal] = &[
    Goal {
        words: "one Rust filter, direct: CPU × Envoy",
        at_most: 0.8,
        measure: Measure::Ratio("wharf-direct-1", "envoy-direct-1"),
    },
    Goal {
        words: "what one Rust filter adds, CPU µs",
        at_most: 1.0,
        measure: Measure::Extra("wharf-direct-1", "wharf-direct-0"),
    },
    Goal {
        words: "proxied without a filter: CPU × Envoy",
        at_most: 1.0,
        measure: Measure::Ratio("wharf-proxied-0", "envoy-proxied-0"),
    },
    Goal {
        words: "proxied with one Rust filter: CPU × Envoy",
        at_most: 1.0,
        measure: Measure::Ratio("wharf-proxied-1", "envoy-proxied-1"),
    },
    Goal {
        words: "what ten filters in one machine add: × Envoy",
        at_most: 0.5,
        measure: Measure::ExtraRatio(
            ["wharf-direct-10", "wharf-direct-0"],
            ["envoy-direct-10", "envoy-direct-0"],
        ),
    },
    Goal {
        words: "a host call of scalars, ns",
        at_most: 10.0,
        measure: Measure::PerCall("wharf-call-count", "wharf-call-none"),
    },
    Goal {
        words: "a header read, with the guest's `malloc`, ns",
        at_most: 120.0,
        measure: Measure::PerCall("wharf-call-get", "wharf-call-none"),
    },
    Goal {
        words: "RSS with one Rust filter, MB",
        at_most: 40.0,
        measure: Measure::Peak("wharf-direct-1"),
    },
];
