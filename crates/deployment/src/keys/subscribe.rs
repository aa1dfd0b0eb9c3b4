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
             `beginning` for what the broker still has, or a table for a place in that.",
        ),
        Key("concurrency", "16", "So many calls are made at once."),
        Key(
            "prefetch",
            "64",
            "So many messages are fetched from the broker ahead, those handed out among them. \
             Left out: as many as `concurrency` calls take.",
        ),
        Key(
            "batch",
            "100",
            "So many messages are handed over in one call, at the most. For a component that takes \
             several. Left out: 1.",
        ),
        Key(
            "batch-wait",
            "\"100ms\"",
            "How long the first message of a call waits for the others; less than half of \
             `deadline`. Left out: not at all.",
        ),
        Key(
            "ordered",
            "false",
            "Whether messages with the same key are handed out one after the other.",
        ),
        Key(
            "deadline",
            "\"30s\"",
            "When a message is handed to another whose host does not answer for it any more. While \
             a call takes longer, its host does.",
        ),
        Key(
            "retry",
            "[\"1s\", \"5s\", \"30s\", \"2m\", \"10m\"]",
            "The pauses before a message that failed comes again; the last one is repeated. Each \
             is made up to a fifth longer or shorter by chance.",
        ),
        Key("attempts", "10", "A message is handed out so often before it is given up."),
        Key(
            "dead-letters",
            "\"orders.dead\"",
            "The topic to which messages go that were given up. Left out: they are logged.",
        ),
        Key(
            "cloudevents",
            "\"binary\"",
            "Messages are CloudEvents, in whichever form they come, and handed over in this one: \
             `binary` or `structured`. One that is none is given up at once. Left out: messages \
             are handed over as they come.",
        ),
    ],
    later: &[],
};

pub(crate) const START: Keys = Keys {
    path: "subscribe.start",
    heading: "start = { … }",
    about: "A place in what the broker still has, where a new group begins. One of the two.",
    keys: &[
        Key("since", "2026-01-31T12:00:00Z", "With what was published at this time or later."),
        Key(
            "after",
            "\"1042\"",
            "With what was published after the message at this position, as the broker gave it.",
        ),
    ],
    later: &[],
};
