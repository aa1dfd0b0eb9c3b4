//! Where replies go: to hosts that asked, and to other programs that named a topic of their own.

use super::names::Names;
use crate::local::asker;
use crate::{INBOX, is_inbox};
use base::{Error, Result, lock};
use bytes::Bytes;
use connect::mqtt::{Publish, PublishProperties};
use std::collections::VecDeque;
use std::sync::Mutex;

/// So many places of other programs are known at once, the last ones.
const OTHERS: usize = 4096;
/// The word of a place that is another program's.
const OTHER: &str = "other";

/// A topic, and what the reply says of the request.
type Place = (Option<String>, Option<Bytes>);

/// The places that other programs named.
#[derive(Default)]
pub(super) struct Replies(Mutex<Others>);

#[derive(Default)]
struct Others {
    /// The number of the first that is known.
    first: u64,
    places: VecDeque<(String, Option<Bytes>)>,
}

impl Replies {
    /// How a message says where replies go.
    pub(super) fn written(&self, names: &Names, reply_to: &str) -> Place {
        if !is_inbox(reply_to) {
            return (Some(names.topic(reply_to)), None);
        }
        match asker(reply_to) {
            Some((host, number)) => (Some(names.replies(host)), Some(number.to_string().into())),
            None => self.other(reply_to).unwrap_or_default(),
        }
    }

    /// Where replies to a message go that came so, as a topic.
    pub(super) fn read(&self, names: &Names, said: &PublishProperties) -> Option<String> {
        let topic = said.response_topic.as_deref()?;
        let correlation = said.correlation_data.as_ref();
        let number = || str::from_utf8(correlation?).ok()?.parse::<u64>().ok();
        if let Some(host) = names.host(topic) {
            return number().map(|number| format!("{INBOX}.{host:x}-{number}"));
        }
        if let Some(topic) = names.read(topic)
            && correlation.is_none()
            && crate::check_topic(&topic).is_ok()
            && !is_inbox(&topic)
        {
            return Some(topic);
        }
        // Named by a number, so that nobody publishes where it likes by making up a name.
        let mut others = lock(&self.0);
        others.places.push_back((topic.to_owned(), correlation.cloned()));
        if others.places.len() > OTHERS {
            others.places.pop_front();
            others.first += 1;
        }
        let number = others.first + others.places.len() as u64 - 1;
        Some(format!("{INBOX}.{OTHER}-{number}"))
    }

    /// Where a reply to this topic is published. `None`: nobody waits for it any more.
    ///
    /// # Errors
    /// `Invalid` for what is no topic for replies.
    pub(super) fn place(
        &self,
        names: &Names,
        topic: &str,
    ) -> Result<Option<(String, Option<Bytes>)>> {
        if let Some((to, correlation)) = self.other(topic) {
            return Ok(to.map(|to| (to, correlation)));
        }
        let no_topic = || Error::invalid("this is no topic for replies");
        let (host, number) = asker(topic).ok_or_else(no_topic)?;
        Ok(Some((names.replies(host), Some(number.to_string().into()))))
    }

    /// A place of another program, if the topic stands for one.
    fn other(&self, topic: &str) -> Option<Place> {
        let number = topic.strip_prefix(INBOX)?.strip_prefix('.')?.strip_prefix(OTHER)?;
        let number: u64 = number.strip_prefix('-')?.parse().ok()?;
        let others = lock(&self.0);
        let at = number.checked_sub(others.first).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| others.places.get(at)) {
            Some((topic, correlation)) => Some((Some(topic.clone()), correlation.clone())),
            None => Some((None, None)),
        }
    }
}

/// The reply as it is sent.
pub(super) fn addressed(publish: Publish, to: String, correlation: Option<Bytes>) -> Publish {
    let properties = publish.properties.unwrap_or_default();
    let properties = PublishProperties { correlation_data: correlation, ..properties };
    Publish { topic: to.into(), properties: Some(properties), ..publish }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(topic: &str, correlation: Option<&'static [u8]>) -> PublishProperties {
        PublishProperties {
            response_topic: Some(topic.to_owned()),
            correlation_data: correlation.map(Bytes::from_static),
            ..PublishProperties::default()
        }
    }

    #[test]
    fn places_of_hosts_and_of_others_are_told_apart() {
        let (names, replies) = (Names::new("p".to_owned()), Replies::default());
        let read = |asked: &PublishProperties| replies.read(&names, asked);
        assert_eq!(read(&asked("_inbox/p/ab", Some(b"7"))).as_deref(), Some("_inbox.ab-7"));
        let (to, correlation) = replies.written(&names, "_inbox.ab-7");
        assert_eq!((to.as_deref(), correlation.as_deref()), (Some("_inbox/p/ab"), Some(&b"7"[..])));
        assert_eq!(read(&asked("p/a/b", None)).as_deref(), Some("a.b"));
        let theirs = read(&asked("clients/9", Some(b"\x01\xff"))).unwrap();
        assert_eq!(theirs, "_inbox.other-0");
        let place = replies.place(&names, &theirs).unwrap().unwrap();
        assert_eq!(place, ("clients/9".to_owned(), Some(Bytes::from_static(b"\x01\xff"))));
        assert_eq!(replies.place(&names, "_inbox.other-1").unwrap(), None);
        assert_eq!(read(&PublishProperties::default()), None);
        assert!(replies.place(&names, "_inbox.x").is_err());
        for _ in 0..OTHERS {
            read(&asked("clients/9", None));
        }
        assert_eq!(replies.place(&names, &theirs).unwrap(), None);
    }
}
