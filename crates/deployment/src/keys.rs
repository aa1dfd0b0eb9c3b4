//! Every key of the deployment file, once: what is known, what is near, what the manual says.

mod filter;
mod subscribe;
mod tcp;
mod upstream;

pub(crate) use filter::{FILTER, FILTER_LIMITS, FILTER_USE};
pub(crate) use subscribe::{START, SUBSCRIBE};
pub(crate) use tcp::TCP;
pub(crate) use upstream::{EJECTION, HEALTH, RETRIES, UPSTREAM, UPSTREAM_LIMITS, UPSTREAM_TLS};

/// The keys of one section.
pub(crate) struct Keys {
    /// The section's name, e.g. `http.route`.
    pub(crate) path: &'static str,
    /// What a file writes above the keys, or before them.
    pub(crate) heading: &'static str,
    /// What the section is for.
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [Key<'static>],
    /// Keys that have a meaning, but not in this build.
    pub(crate) later: &'static [&'static str],
}

/// One key: its name, an example of its value, and what it means.
pub(crate) struct Key<'a>(pub(crate) &'a str, pub(crate) &'a str, pub(crate) &'a str);

impl Keys {
    /// The names of the keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.0)
    }
}

/// Every section, in the order of the manual.
pub(crate) const SECTIONS: &[&Keys] = &[
    &APP,
    &COMPONENT,
    &FILES,
    &LIMITS,
    &REUSE,
    &HTTP,
    &TLS,
    &HTTP2,
    &ROUTE,
    &RESPOND,
    &TCP,
    &UPSTREAM,
    &UPSTREAM_TLS,
    &UPSTREAM_LIMITS,
    &RETRIES,
    &EJECTION,
    &HEALTH,
    &FILTER,
    &FILTER_LIMITS,
    &FILTER_USE,
    &TIMER,
    &WATCH,
    &SUBSCRIBE,
    &START,
    &SECRETS,
    &LOG,
    &BINDING,
    &NEEDS,
    &OVERLAY,
];

pub(crate) const APP: Keys = Keys {
    path: "",
    heading: "The file",
    about: "What one app is made of. Text may hold `${env:NAME}`, `${file:path}` and \
            `${secret:name}`; `$${` is a plain `${`. Paths are relative to the file.",
    keys: &[
        Key(
            "name",
            "\"guestbook\"",
            "The app's name. Data in shared backends is kept under it; \
             without it the folder's name is taken.",
        ),
        Key(
            "data",
            "\".wharf\"",
            "The directory of embedded data. Left out: `.wharf` beside the file.",
        ),
        Key("component", "", "The components, each a table `[component.NAME]`."),
        Key("http", "", "The HTTP server."),
        Key("tcp", "", "Listeners for bare TCP, each a table `[tcp.NAME]`."),
        Key("upstream", "", "Other servers, each a table `[upstream.NAME]`."),
        Key("filter", "", "Proxy-Wasm filters, each a table `[filter.NAME]`."),
        Key("timer", "", "Components that are called by the clock, each a table `[[timer]]`."),
        Key("watch", "", "Components that are called when keys change, each a table `[[watch]]`."),
        Key(
            "subscribe",
            "",
            "Components that messages are handed to, each a table `[[subscribe]]`.",
        ),
        Key("secrets", "", "Where the text of `${secret:name}` comes from."),
        Key("log", "", "How Wharf and its guests log."),
    ],
    later: &[],
};

/// What `--bindings` may hold besides the sections of bindings.
pub(crate) const OVERLAY: Keys = Keys {
    path: "",
    heading: "The file of --bindings",
    about: "Bindings and secrets that take the place of the deployment file's, name by name.",
    keys: &[Key("secrets", "", "Where the text of `${secret:name}` comes from.")],
    later: &[],
};

pub(crate) const COMPONENT: Keys = Keys {
    path: "component.NAME",
    heading: "[component.NAME]",
    about: "One component: its code, and what it may touch. Nothing is granted that is not named.",
    keys: &[
        Key("source", "\"web.wasm\"", "The file with the component."),
        Key(
            "config",
            "{ page-size = \"20\" }",
            "Settings that the component reads through \
             `wasi:config`. A source in `config-from` that has the same key covers it.",
        ),
        Key("environment", "{ RUST_LOG = \"info\" }", "Environment variables."),
        Key("args", "[\"--verbose\"]", "Arguments, after the program's name."),
        Key("files", "[{ host = \"static\", guest = \"/static\" }]", "Directories it may open."),
        Key(
            "egress",
            "[\"https://api.example.com\"]",
            "Hosts it may reach: a name, `*.name`, an \
             address, a network, `*`; before it a scheme, behind it a port. Left out: none.",
        ),
        Key("limits", "{ memory = \"128MiB\" }", "The limits of its instances and calls."),
        Key("reuse", "{ requests = 128 }", "How often one instance is used."),
        Key(
            "engine",
            "\"auto\"",
            "The compiler: `auto`, `cranelift` for fast code, `winch` for \
             fast starts.",
        ),
    ],
    later: &[],
};

pub(crate) const FILES: Keys = Keys {
    path: "component.NAME.files",
    heading: "files = [{ … }]",
    about: "A directory of the host that a component sees.",
    keys: &[
        Key("host", "\"static\"", "The directory on the host."),
        Key("guest", "\"/static\"", "The path at which the component sees it."),
        Key("mode", "\"read\"", "`read`, or `write` for both. Left out: `read`."),
    ],
    later: &[],
};

pub(crate) const LIMITS: Keys = Keys {
    path: "component.NAME.limits",
    heading: "limits = { … }",
    about: "What one component may use. Every limit has a default that `wharf check` shows.",
    keys: &[
        Key("memory", "\"128MiB\"", "Linear memory of one instance, all its memories together."),
        Key("tables", "64", "Tables of one instance, 64 at the most."),
        Key("table-elements", "100000", "Elements of one table, 100000 at the most."),
        Key("instances", "64", "Core instances in one instance of the component, 64 at the most."),
        Key("stack", "\"512KiB\"", "Stack of a guest's call."),
        Key("handles", "10000", "Handles that one instance holds."),
        Key("hostcall-buffer", "\"32MiB\"", "Bytes that one host call may take from a guest."),
        Key("hostcalls", "256", "Host calls that run at once."),
        Key("hostcall-timeout", "\"30s\"", "How long one host call may take."),
        Key("request-timeout", "\"30s\"", "How long a call may take, to the end of its answer."),
        Key("concurrency", "256", "Calls that run at once."),
        Key("queue", "1024", "Calls that wait when `concurrency` are running."),
        Key("queue-timeout", "\"5s\"", "How long a call waits before it is turned away."),
        Key("request-body", "\"64MiB\"", "The body of a request."),
        Key("response-body", "\"1GiB\"", "The body of an answer."),
        Key("header-size", "\"128KiB\"", "The header fields that a guest puts into one message."),
        Key("log-rate", "1000", "Lines that it logs in a second."),
        Key("outbound", "64", "Requests that it sends out at once."),
    ],
    later: &[],
};

pub(crate) const REUSE: Keys = Keys {
    path: "component.NAME.reuse",
    heading: "reuse = { … }",
    about: "Whether an instance answers more than one request. Left out: once for WASI 0.2, 128 \
            times, one at a time, for 0.3.",
    keys: &[
        Key("requests", "128", "Requests that one instance answers before it is thrown away."),
        Key(
            "concurrent",
            "1",
            "Requests that it answers at once (0.3 only). With more than one, \
             a trap fails all of them.",
        ),
    ],
    later: &[],
};

pub(crate) const HTTP: Keys = Keys {
    path: "http",
    heading: "[http]",
    about: "The HTTP server: where it listens and what it bears.",
    keys: &[
        Key("listen", "[\"127.0.0.1:8080\"]", "The addresses. Left out: `127.0.0.1:8080`."),
        Key("tls", "{ cert = \"cert.pem\", key = \"key.pem\" }", "Serve HTTPS."),
        Key("filters", "[\"limit\"]", "The filters before all routes, in their order."),
        Key(
            "admin",
            "\"127.0.0.1:9090\"",
            "The address of `/.well-known/wharf/health` and `/.well-known/wharf/metrics`. Left \
             out: none.",
        ),
        Key("route", "", "What is served, each a table `[[http.route]]`."),
        Key("shutdown-grace", "\"30s\"", "How long running requests may go on after SIGTERM."),
        Key("header-timeout", "\"10s\"", "How long the head of a request may take to arrive."),
        Key("write-timeout", "\"60s\"", "How long a client may take none of an answer's bytes."),
        Key("max-header-size", "\"64KiB\"", "The head of a request."),
        Key("max-headers", "128", "Header fields of a request."),
        Key("max-connections", "10000", "Connections at once."),
        Key("http2", "{ max-streams = 200 }", "HTTP/2."),
        Key("threads", "2", "Threads that serve connections. Left out: one for each core."),
        Key("access-log", "true", "A line in the log for each request."),
        Key(
            "forwarded",
            "[\"10.0.0.0/8\"]",
            "The proxies whose `x-forwarded-*` are believed. Left \
             out: none.",
        ),
    ],
    later: &[],
};

pub(crate) const TLS: Keys = Keys {
    path: "http.tls",
    heading: "tls = { … }",
    about: "A certificate. The files are read again when they change.",
    keys: &[
        Key("cert", "\"cert.pem\"", "The certificate and its chain, PEM."),
        Key("key", "\"key.pem\"", "The private key, PEM."),
    ],
    later: &[],
};

pub(crate) const HTTP2: Keys = Keys {
    path: "http.http2",
    heading: "http2 = { … }",
    about: "What one HTTP/2 connection may do.",
    keys: &[Key("max-streams", "200", "Requests at once on one connection.")],
    later: &[],
};

pub(crate) const ROUTE: Keys = Keys {
    path: "http.route",
    heading: "[[http.route]]",
    about: "Who answers. The host decides first, then the longest path.",
    keys: &[
        Key("path", "\"/\"", "The beginning of the path. Left out: `/`."),
        Key("host", "\"example.com\"", "The host, or `*.example.com`. Left out: every host."),
        Key("component", "\"web\"", "The component that answers."),
        Key("upstream", "\"legacy\"", "The upstream that answers, instead of a component."),
        Key("respond", "{ status = 404 }", "The answer itself, instead of a component."),
        Key(
            "filters",
            "[\"auth\"]",
            "The filters before it, in their order, behind those of the server: each a name, or \
             `{ name, configuration }`.",
        ),
        Key("mirror", "\"shadow\"", "An upstream that gets copies, whose answers nobody sees."),
        Key("mirror-percent", "10", "How many of a hundred requests are copied. Left out: all."),
    ],
    later: &[],
};

pub(crate) const RESPOND: Keys = Keys {
    path: "http.route.respond",
    heading: "respond = { … }",
    about: "An answer that needs nobody: a notice, a redirect, a file of a few lines.",
    keys: &[
        Key("status", "308", "Its status. Left out: 200."),
        Key("headers", "{ location = \"https://example.com/\" }", "Its headers."),
        Key("body", "\"moved\\n\"", "Its body. Left out: empty."),
    ],
    later: &[],
};

pub(crate) const TIMER: Keys = Keys {
    path: "timer",
    heading: "[[timer]]",
    about: "A component that is called by the clock.",
    keys: &[
        Key("component", "\"sweeper\"", "The component: one that can be run."),
        Key("cron", "\"0 3 * * *\"", "When, as five fields, or six with seconds first; in UTC."),
        Key("every", "\"10m\"", "How often, instead of `cron`."),
        Key("scope", "\"host\"", "`host`: on each host. `deployment`: on one; warned of as yet."),
    ],
    later: &[],
};

pub(crate) const WATCH: Keys = Keys {
    path: "watch",
    heading: "[[watch]]",
    about: "A component that is called when keys change.",
    keys: &[
        Key("component", "\"indexer\"", "The component: one that exports a watcher."),
        Key("binding", "\"default\"", "The key-value binding. Left out: `default`."),
        Key("keys", "[\"a\", \"b\"]", "The keys. Left out, as `prefix`: every key."),
        Key("prefix", "\"user:\"", "The beginning of the keys, instead of `keys`."),
        Key("scope", "\"host\"", "`host`: on each host. `deployment`: on one; warned of as yet."),
    ],
    later: &[],
};

pub(crate) const SECRETS: Keys = Keys {
    path: "secrets",
    heading: "[secrets]",
    about: "Where secrets lie.",
    keys: &[Key(
        "from",
        "\"dir:/run/secrets\"",
        "One place or several, asked in order. `dir:PATH`: a file for each secret; `env:APP_`: \
         the secret `db-password` is the variable `APP_DB_PASSWORD`.",
    )],
    later: &[],
};

pub(crate) const LOG: Keys = Keys {
    path: "log",
    heading: "[log]",
    about: "How Wharf and its guests log, on standard error.",
    keys: &[
        Key("format", "\"text\"", "`text` or `json`."),
        Key("filter", "\"info,web=debug\"", "What is logged, as in `RUST_LOG`."),
    ],
    later: &[],
};

pub(crate) const BINDING: Keys = Keys {
    path: "CAPABILITY",
    heading: "[CAPABILITY]",
    about: "The names that components open, and the backend behind each: a URL, or a table with \
            `url`, the keys below and the backend's own.",
    keys: &[
        Key("url", "\"redis://127.0.0.1:6379\"", "The backend and where it is."),
        Key("requires", "{ ttl = \"milliseconds\" }", "What the backend has to offer."),
        Key(
            "cloudevents",
            "\"binary\"",
            "Of `[messaging]` alone: what is published are CloudEvents of this mode, `binary` or \
             `structured`, or `{ mode, source }`.",
        ),
    ],
    later: &[],
};

/// What stands in it depends on the capability.
pub(crate) const NEEDS: Keys = Keys {
    path: "CAPABILITY.NAME.requires",
    heading: "requires = { … }",
    about: "The least that a backend has to offer. Nothing is started with one that offers less.",
    keys: &[],
    later: &[],
};
