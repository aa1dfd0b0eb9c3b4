//! The keys of `[[subscribe]]`.

use super::{Key, Keys};

pub(crate) const SUBSCRIBE: Keys = Keys {
    path: "subscribe",
    heading: "[[subscribe]]",
    about: "A component that messages are handed to. One that it handles is done with; one that it \
            fails at comes again, and in the end goes to `dead-letters`.",
    keys: &[
        Key("component", "\"worker\"", "The component: one that exports a handler of messages."),
        Key("binding", "\"default\"", "The binding of `[messaging]`. Left out: `default`."),
        Key(
            "topics",
            "[\"orders.new\", \"orders.*.paid\"]",
            "The topics. `*` stands for a word, and `>` for all words at the end. `[]` for a \
             component that names them itself.",
        ),
        Key(
            "group",
            "\"worker\"",
            "Those of one group share its messages, on whichever hosts they are. \
             Left out: the component's name.",
        ),
        Key(
            "start",
            "\"new\"",
            "Where a group begins that is not there yet: `new` for what is published from then on, \
             `beginning` for what the broker still has.",
        ),
        Key("concurrency", "16", "So many messages are handed out at once."),
        Key(
            "prefetch",
            "64",
            "So many are fetched from the broker ahead, those handed out among them. \
             Left out: as many as `concurrency`.",
        ),
        Key(
            "ordered",
            "false",
            "Whether messages with the same key are handed out one after the other.",
        ),
        Key(
            "deadline",
            "\"30s\"",
            "When a message is handed to another whose host does not answer for it any more.",
        ),
        Key(
            "retry",
            "[\"1s\", \"5s\", \"30s\", \"2m\", \"10m\"]",
            "The pauses before a message that failed comes again; the last one is repeated.",
        ),
        Key("attempts", "10", "A message is handed out so often before it is given up."),
        Key(
            "dead-letters",
            "\"orders.dead\"",
            "The topic to which messages go that were given up. Left out: they are logged.",
        ),
    ],
    later: &[],
};
