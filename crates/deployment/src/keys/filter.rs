//! Keys of filters.

use super::{Key, Keys};

pub(crate) const FILTER: Keys = Keys {
    path: "filter.NAME",
    heading: "[filter.NAME]",
    about: "A Proxy-Wasm filter. It stands where `filters` of a route, or of the server, names it.",
    keys: &[
        Key("source", "\"auth.wasm\"", "Its code."),
        Key("root-id", "\"my_root\"", "Which of several plugins of the code it is."),
        Key("configuration", "{ key = \"value\" }", "Text, or a table, which it reads as JSON."),
        Key(
            "on-failure",
            "\"reload\"",
            "When it traps or reaches a limit: `reload` answers that request with 503 and starts \
             it anew, `closed` answers 503 from then on, `open` goes on without it. Left out: \
             `reload`.",
        ),
        Key(
            "headers-stop",
            "\"all\"",
            "When it pauses on headers: with `all` the body waits too, as in Envoy; with \
             `iteration` the body comes to it. Left out: `all`.",
        ),
        Key(
            "isolation",
            "\"worker\"",
            "Who shares its virtual machine: `worker`, on each thread all filters of the same \
             code, `vm-id` and configuration of it; `plugin`, nobody; `stream`, each request has a \
             fresh one. Left out: `worker`.",
        ),
        Key("vm-id", "\"shared\"", "Under which name virtual machines share data and queues."),
        Key(
            "shared-data",
            "\"default\"",
            "The key-value binding that keeps what filters of its `vm-id` share, so that several \
             hosts have the same. Left out: this process's memory.",
        ),
        Key("vm-configuration", "\"…\"", "What the virtual machine starts with."),
        Key("environment", "{ LEVEL = \"info\" }", "Its environment variables."),
        Key(
            "capabilities",
            "[\"proxy_log\"]",
            "The host calls, callbacks and WASI functions that it may use. Left out: all.",
        ),
        Key("lenient", "true", "Whether imports that nobody knows are let through, to say no."),
        Key("limits", "{ memory = \"128MiB\" }", "What it may use."),
    ],
    later: &[],
};

pub(crate) const FILTER_LIMITS: Keys = Keys {
    path: "filter.NAME.limits",
    heading: "limits = { … } of a filter",
    about: "What a virtual machine may use.",
    keys: &[
        Key("memory", "\"128MiB\"", "Linear memory. Left out: 128 MiB."),
        Key("callback", "\"100ms\"", "How long one callback may compute. Left out: 100 ms."),
        Key("buffer", "\"1MiB\"", "How much of a body may wait for it. Left out: 1 MiB."),
        Key("calls", "1024", "Callouts under way at once. Left out: 1024."),
        Key("table-elements", "100000", "Elements of a table. Left out: 100000."),
    ],
    later: &[],
};

pub(crate) const FILTER_USE: Keys = Keys {
    path: "http.route.filters",
    heading: "filters = [{ … }]",
    about: "A filter with a configuration of this place's own.",
    keys: &[
        Key("name", "\"auth\"", "Its name."),
        Key("configuration", "{ key = \"value\" }", "Text, or a table, which it reads as JSON."),
    ],
    later: &[],
};
