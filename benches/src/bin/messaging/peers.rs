//! Each vendor's client with the vendor's bare calls: what nobody can be faster than.

use crate::CONTENT;
use anyhow::{Context as _, Result};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::{self, Context};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use std::sync::Arc;

/// A client that is being opened.
type Opening = BoxFuture<'static, Result<Arc<dyn Bare>>>;

/// A broker whose own client stands beside the contract.
pub(crate) struct Peer {
    /// The backend's name.
    pub(crate) name: &'static str,
    /// The binding's settings, for a URL: what both ways share has names that the peer knows.
    pub(crate) settings: fn(&str) -> String,
    /// Opens the client. The binding was opened before.
    pub(crate) open: fn(String) -> Opening,
}

/// Every broker that is measured beside its own client.
pub(crate) const PEERS: &[Peer] = &[Peer {
    name: "nats",
    settings: |url| format!("{{ url = \"{url}\", stream = \"bench\", prefix = \"bench\" }}"),
    open: |url| Box::pin(async move { Ok(Arc::new(Nats::open(&url).await?) as Arc<dyn Bare>) }),
}];

/// What a client does with messages, and nothing else.
#[async_trait]
pub(crate) trait Bare: Send + Sync {
    /// Publishes a message, and waits for the server's word.
    async fn publish(&self) -> Result<()>;

    /// Takes so many messages of those that the contract published to `topic`, and acknowledges
    /// each; so many are out at once.
    async fn consume(&self, topic: &str, messages: u32, out: usize) -> Result<()>;
}

struct Nats(Context);

impl Nats {
    async fn open(url: &str) -> Result<Self> {
        Ok(Self(jetstream::new(async_nats::connect(url).await?)))
    }
}

#[async_trait]
impl Bare for Nats {
    async fn publish(&self) -> Result<()> {
        let sent = self.0.publish("bench.bare", Bytes::from_static(CONTENT)).await?;
        sent.await?;
        Ok(())
    }

    async fn consume(&self, topic: &str, messages: u32, out: usize) -> Result<()> {
        let stream = self.0.get_stream_no_info("bench").await?;
        let consumer = stream.create_consumer(pull::Config {
            filter_subject: format!("bench.{topic}"),
            deliver_policy: DeliverPolicy::All,
            max_ack_pending: i64::try_from(out)?,
            ..pull::Config::default()
        });
        let consumer = consumer.await?;
        let mut taken = consumer.stream().max_messages_per_batch(out).messages().await?;
        for _ in 0..messages {
            let message = taken.next().await.context("there are more")??;
            message.ack().await.map_err(|error| anyhow::anyhow!(error))?;
        }
        Ok(())
    }
}
