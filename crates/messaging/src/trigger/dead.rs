//! Messages that nobody could handle, as they are published for people to look at.

use crate::{Delivery, Message};

/// The header that says why.
pub const REASON: &str = "wharf-dead-reason";
/// The header with the topic to which it was published.
pub const TOPIC: &str = "wharf-dead-topic";
/// The header that says how often it was handed out.
pub const ATTEMPTS: &str = "wharf-dead-attempts";
/// The header with the binding that it came from.
pub const BINDING: &str = "wharf-dead-binding";
/// The header with the group that gave it up.
pub const GROUP: &str = "wharf-dead-group";

/// The most bytes of a reason.
const MOST: usize = 1024;

/// The message that is published instead of one that was given up: the same, with what happened to
/// it. What was said before by another that gave it up is replaced. Where it would be larger than
/// the broker takes, the reason is cut.
pub(super) fn letter(
    delivery: &Delivery,
    why: &str,
    binding: &str,
    group: Option<&str>,
    most: usize,
) -> Message {
    let ours = [REASON, TOPIC, ATTEMPTS, BINDING, GROUP];
    let mut message = delivery.message.clone();
    // It is another publication: its id is known, and nobody waits for a reply.
    message.id = None;
    message.reply_to = None;
    message.headers.retain(|(name, _)| !ours.contains(&name.as_str()));
    let attempts = delivery.attempt.to_string();
    let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let said = [
        (TOPIC, delivery.topic.as_str()),
        (ATTEMPTS, attempts.as_str()),
        (REASON, why.as_str()),
        (GROUP, group.unwrap_or_default()),
        (BINDING, binding),
    ];
    for (name, value) in said.into_iter().filter(|(_, value)| !value.is_empty()) {
        // A message that is as large as can be goes without what does not fit beside it.
        let Some(room) = most.checked_sub(message.size() + name.len() + 1) else { continue };
        let value = if name == REASON { cut(value, (room + 1).min(MOST)) } else { value };
        if value.len() <= room + 1 {
            message.headers.push((name.to_owned(), value.to_owned()));
        }
    }
    message
}

/// As much of a text as fits into so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settle, Verdict};
    use async_trait::async_trait;

    struct Nobody;

    #[async_trait]
    impl Settle for Nobody {
        async fn settle(self: Box<Self>, _: Verdict) -> base::Result<()> {
            Ok(())
        }

        async fn extend(&self) -> base::Result<()> {
            Ok(())
        }
    }

    fn delivery(headers: &[(&str, &str)]) -> Delivery {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers = headers.iter().map(owned).collect();
        Delivery {
            topic: "a.b".to_owned(),
            message: Message { headers, id: Some("i".to_owned()), ..Message::new("x") },
            attempt: 3,
            position: None,
            time: None,
            settle: Box::new(Nobody),
        }
    }

    #[test]
    fn a_letter_says_what_happened() {
        let delivery = delivery(&[("own", "1"), (REASON, "before")]);
        let letter = letter(&delivery, "it\nfailed", "default", Some("g"), 10_000);
        assert_eq!(letter.data, "x");
        assert_eq!((letter.id.as_deref(), letter.header("own")), (None, Some("1")));
        assert_eq!(letter.header(REASON), Some("it failed"));
        assert_eq!(letter.header(TOPIC), Some("a.b"));
        assert_eq!(letter.header(ATTEMPTS), Some("3"));
        assert_eq!((letter.header(BINDING), letter.header(GROUP)), (Some("default"), Some("g")));
        assert_eq!(letter.headers.iter().filter(|(name, _)| name == REASON).count(), 1);
    }

    #[test]
    fn a_reason_is_cut_where_there_is_no_room() {
        let (delivery, why) = (delivery(&[]), "ä".repeat(5000));
        let whole = letter(&delivery, &why, "default", None, usize::MAX);
        assert_eq!(whole.header(REASON).map(str::len), Some(MOST));
        let most = whole.size() - 3;
        let cut = letter(&delivery, &why, "default", None, most);
        assert!(cut.size() <= most && cut.header(TOPIC).is_some());
        assert!(cut.header(REASON).is_some_and(|why| why.len() > 900));
    }

    #[test]
    fn a_message_as_large_as_can_be_is_a_letter_too() {
        let delivery = delivery(&[]);
        let bare = Message { id: None, ..delivery.message.clone() };
        for room in 0..200 {
            let most = bare.size() + room;
            let letter = letter(&delivery, "it failed", "default", Some("g"), most);
            assert!(letter.size() <= most, "{room}");
            assert_eq!(letter.header(TOPIC).is_some(), room >= TOPIC.len() + 3, "{room}");
        }
    }
}
