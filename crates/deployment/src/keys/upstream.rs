//! The keys of upstreams.

use super::{Key, Keys};

pub(crate) const UPSTREAM: Keys = Keys {
    path: "upstream.NAME",
    heading: "[upstream.NAME]",
    about: "Servers that answer alike, HTTP's unless a [tcp.NAME] leads to them. Being named here \
            is what lets them be reached, also at private addresses.",
    keys: &[
        Key(
            "endpoints",
            "[\"127.0.0.1:9000\", \"https://host.example\"]",
            "Where they are: an address or a name, with its port; `https://` before it for TLS. \
             Each address of a name is a server.",
        ),
        Key(
            "balance",
            "\"round-robin\"",
            "Which one is asked: each in turn, with `least-request` the less busy of two, with \
             `ring-hash` the same for the same `hash-on`. Left out: `round-robin`.",
        ),
        Key(
            "hash-on",
            "\"header:x-user\"",
            "What decides in a ring: `header:NAME`, `path`, or `source`, which is the client's \
             address.",
        ),
        Key(
            "host",
            "\"app.internal\"",
            "The host that they are asked for. Left out: the client's.",
        ),
        Key(
            "http2",
            "true",
            "`true`: HTTP/2 alone, also without TLS. `false`: HTTP/1.1 alone. Left out: what ALPN \
             says, without TLS HTTP/1.1.",
        ),
        Key("tls", "{ ca = \"ca.pem\" }", "How TLS is spoken to `https://` endpoints."),
        Key("connect-timeout", "\"5s\"", "How long a connection may take to be made."),
        Key(
            "request-timeout",
            "\"30s\"",
            "How long a request may take to the end of its answer, all attempts together. Left \
             out: as long as something comes.",
        ),
        Key("idle-timeout", "\"60s\"", "How long a server may say nothing, or take nothing."),
        Key(
            "tunnel-timeout",
            "\"5m\"",
            "How long nothing may pass after an upgrade, as to WebSocket.",
        ),
        Key("resolve-every", "\"30s\"", "How often names are looked up."),
        Key("limits", "{ requests = 1024 }", "How much there may be at once."),
        Key("retries", "{ attempts = 2 }", "What is tried again."),
        Key("ejection", "{ failures = 5 }", "When a server that fails is left alone."),
        Key(
            "health",
            "{ path = \"/healthz\" }",
            "Ask each server whether it is well. Left out: no.",
        ),
        Key(
            "follow-redirects",
            "3",
            "How many redirects that stay within the upstream are followed. Left out: none.",
        ),
    ],
    later: &[],
};

pub(crate) const UPSTREAM_TLS: Keys = Keys {
    path: "upstream.NAME.tls",
    heading: "tls = { … } of an upstream",
    about: "Whom it is trusted to be, and who Wharf says that it is. Paths are of PEM files.",
    keys: &[
        Key("ca", "\"ca.pem\"", "The authorities that are trusted. Left out: the system's."),
        Key("certificate", "\"client.pem\"", "What is shown to a server that asks."),
        Key("key", "\"client.key\"", "The private key of `certificate`."),
        Key(
            "server-name",
            "\"app.internal\"",
            "The name that the server's certificate bears. Left out: the endpoint's.",
        ),
    ],
    later: &[],
};

pub(crate) const UPSTREAM_LIMITS: Keys = Keys {
    path: "upstream.NAME.limits",
    heading: "limits = { … } of an upstream",
    about: "How much there may be at once. What does not fit is answered with 503.",
    keys: &[
        Key("requests", "1024", "Requests under way, tunnels among them."),
        Key("queue", "1024", "Requests that wait for one of those to end."),
        Key("queue-timeout", "\"5s\"", "How long they wait."),
        Key(
            "connections",
            "1024",
            "Connections of HTTP/1.1 to one server. Left out: as many as `requests`.",
        ),
        Key("idle-connections", "64", "Those of them that are kept while nobody uses them."),
        Key("request-body", "\"1GiB\"", "The body of a request. Left out: any."),
    ],
    later: &[],
};

pub(crate) const RETRIES: Keys = Keys {
    path: "upstream.NAME.retries",
    heading: "retries = { … }",
    about: "What is tried again, at another server if there is one. Always what no server can have \
            begun with; answers only where `statuses` names them.",
    keys: &[
        Key("attempts", "1", "How often, after the first time. 0: never."),
        Key(
            "statuses",
            "[502, 503]",
            "Which of 502, 503 and 504 are tried again, a server's own and Wharf's, for requests \
             that are idempotent or have no body. Left out: none.",
        ),
        Key("budget", "20", "How many of a hundred requests may be tried again at once."),
        Key("backoff", "\"25ms\"", "The longest wait before the first; it doubles with each."),
        Key("max-backoff", "\"250ms\"", "The longest wait of all."),
    ],
    later: &[],
};

pub(crate) const EJECTION: Keys = Keys {
    path: "upstream.NAME.ejection",
    heading: "ejection = { … }",
    about: "When a server is left alone that answers with 5xx or not at all.",
    keys: &[
        Key("failures", "5", "After how many failures in a row. 0: never."),
        Key("time", "\"30s\"", "For how long the first time; it doubles with each."),
        Key("max-time", "\"5m\"", "For how long at the most."),
        Key("max-percent", "50", "How many of a hundred servers at once, at the most."),
    ],
    later: &[],
};

pub(crate) const HEALTH: Keys = Keys {
    path: "upstream.NAME.health",
    heading: "health = { … }",
    about: "How each server is asked whether it is well: any answer of 2xx says so, or, without \
            `path`, that a connection can be made.",
    keys: &[
        Key("path", "\"/healthz\"", "What is asked for. Left out: nothing."),
        Key("interval", "\"10s\"", "How often."),
        Key("timeout", "\"2s\"", "How long an answer may take."),
        Key("healthy", "2", "After how many good answers in a row a server is well again."),
        Key("unhealthy", "3", "After how many bad ones in a row it is not."),
    ],
    later: &[],
};
