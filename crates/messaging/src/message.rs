//! Messages, and what is known of one that was published.

use bytes::Bytes;
use std::fmt;

/// What is published: some bytes, and what is said of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The content.
    pub data: Bytes,
    /// What the content is, as a media type.
    pub content_type: Option<String>,
    /// Names and values that are passed on as they are, in their order. A name may come twice.
    pub headers: Vec<(String, String)>,
    /// Messages of a topic with the same key are handed out in their order, where the offer says
    /// `ordering >= key`.
    pub key: Option<String>,
    /// What tells this message from all others: a second one with the same id is not published,
    /// where the offer says `dedup = window`.
    pub id: Option<String>,
    /// The topic that replies are published to: of the publisher's choice, or made by
    /// [`Broker::request`](crate::Broker::request).
    pub reply_to: Option<String>,
}

impl Message {
    /// A message with this content and nothing else.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// How many bytes it has, all told.
    pub fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let said = [&self.content_type, &self.key, &self.id, &self.reply_to];
        self.data.len() + headers + said.into_iter().map(text).sum::<usize>()
    }
}

/// A place in what a broker keeps, to begin from. Opaque; of use to the broker that gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position(pub String);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What became of a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Where it is, on a broker that keeps messages.
    pub position: Option<Position>,
    /// One with the same id was published before, so this one was not.
    pub duplicate: bool,
}
