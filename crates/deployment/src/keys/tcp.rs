//! Keys of listeners for bare TCP.

use super::{Key, Keys};

pub(crate) const TCP: Keys = Keys {
    path: "tcp.NAME",
    heading: "[tcp.NAME]",
    about: "A listener for bare TCP. Its connections go to an upstream as they are, through \
            filters for networks. Nobody looks whether what passes is HTTP.",
    keys: &[
        Key("listen", "\"127.0.0.1:5432\"", "The address, or several."),
        Key("tls", "{ cert = \"cert.pem\", key = \"key.pem\" }", "Take TLS off what comes."),
        Key(
            "filters",
            "[\"sniff\"]",
            "The filters before the upstream, in their order: each a name, or `{ name, \
             configuration }`.",
        ),
        Key("upstream", "\"database\"", "The upstream that connections lead to."),
        Key("idle-timeout", "\"1h\"", "How long nothing may pass. Left out: an hour."),
        Key("max-connections", "1024", "Connections at once; more wait. Left out: 1024."),
        Key("access-log", "true", "A line in the log for each connection, when it is over."),
    ],
    later: &[],
};
