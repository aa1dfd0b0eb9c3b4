//! The resources of `wasi:messaging`: a message on its way, and how a request waits.

use super::operations::Host;
use crate::{Message, RequestOptions};
use base::Result;
use bytes::Bytes;
use engine::{Charge, Held};
use std::time::Duration;

/// The resource `message`.
pub struct Letter {
    message: Message,
    /// Where it came from; none for one that the guest made.
    received: Option<Received>,
    /// What it takes of what the host may keep for the instance.
    charge: Charge,
}

/// What is known of a message that was received.
pub(super) struct Received {
    /// To which topic it was sent.
    pub(super) topic: String,
    /// Through which client it is replied to.
    pub(super) binding: String,
}

impl Letter {
    /// A message of the guest's.
    pub(super) fn new(data: Vec<u8>, held: &Held) -> Result<Self> {
        let charge = held.take(data.len())?;
        Ok(Self { message: Message::new(data), received: None, charge })
    }

    /// A message that was received.
    pub(super) fn received(message: Message, received: Received, held: &Held) -> Result<Self> {
        let headers = message.headers.len() * size_of::<(String, String)>();
        let charge = held.take(message.size() + headers)?;
        Ok(Self { message, received: Some(received), charge })
    }

    /// A message that the guest is handed, which came through this binding.
    pub(crate) fn handed(
        message: Message,
        topic: String,
        binding: String,
        host: &Host<'_>,
    ) -> Result<Self> {
        Self::received(message, Received { topic, binding }, &host.state.held)
    }

    /// The message itself.
    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    /// The message itself, to be sent. Where replies go and what tells it from others belong to the
    /// message that was received and not to one that is passed on.
    pub(super) fn into_message(self) -> Message {
        Message { reply_to: None, id: None, ..self.message }
    }

    /// A copy of it to be sent.
    pub(super) fn to_send(&self) -> Message {
        Message { reply_to: None, id: None, ..self.message.clone() }
    }

    pub(super) fn topic(&self) -> Option<&str> {
        self.received.as_ref().map(|received| received.topic.as_str())
    }

    pub(super) fn binding(&self) -> Option<&str> {
        self.received.as_ref().map(|received| received.binding.as_str())
    }

    pub(super) fn set_data(&mut self, data: Vec<u8>) -> Result<()> {
        self.charge.grow(data.len())?;
        self.message.data = Bytes::from(data);
        Ok(())
    }

    pub(super) fn set_content_type(&mut self, content_type: String) -> Result<()> {
        self.charge.grow(content_type.len())?;
        self.message.content_type = Some(content_type);
        Ok(())
    }

    pub(super) fn add_header(&mut self, name: String, value: String) -> Result<()> {
        self.charge.grow(name.len() + value.len() + size_of::<(String, String)>())?;
        self.message.headers.push((name, value));
        Ok(())
    }

    pub(super) fn set_headers(&mut self, headers: Vec<(String, String)>) -> Result<()> {
        let size = |(name, value): &(String, String)| {
            name.len() + value.len() + size_of::<(String, String)>()
        };
        self.charge.grow(headers.iter().map(size).sum())?;
        self.message.headers = headers;
        Ok(())
    }

    pub(super) fn remove_header(&mut self, name: &str) {
        self.message.headers.retain(|(found, _)| found != name);
    }
}

/// The resource `request-options`.
#[derive(Clone, Debug, Default)]
pub struct Waiting(pub(super) RequestOptions);

impl Waiting {
    pub(super) fn set_timeout(&mut self, milliseconds: u32) {
        self.0.timeout = Duration::from_millis(milliseconds.into());
    }

    pub(super) fn set_replies(&mut self, replies: u32) {
        self.0.replies = usize::try_from(replies).unwrap_or(usize::MAX);
    }
}
