//! What is published on channels, on a connection that does nothing else.

use super::{Link, Redis};
use base::{Error, Result, within};
use futures::StreamExt as _;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Client, Msg, RedisError};
use std::time::Duration;
use tokio::time::sleep;

/// After so long without a word the server is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(2);

/// A connection that hears what is published.
pub struct Listening {
    sink: PubSubSink,
    stream: PubSubStream,
    timeout: Duration,
}

impl Redis {
    /// Listens to these channels from now on.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn listen(&self, channels: &[String]) -> Result<Listening> {
        self.gate
            .call(async {
                let (sink, stream) = self.listener(channels).await?;
                Ok(Listening { sink, stream, timeout: self.connect })
            })
            .await
    }

    async fn listener(&self, channels: &[String]) -> Result<(PubSubSink, PubSubStream)> {
        let client = match &self.link {
            Link::Single(client) => return self.hear(client, channels).await,
            Link::Sentinel(client) => client.lock().await.async_get_client().await,
            // What is published is heard at every node.
            Link::Cluster(_, nodes) => {
                let mut last = Error::unavailable(self.server().to_owned());
                for node in nodes {
                    match within(self.connect, self.hear(node, channels)).await {
                        Ok(Ok(heard)) => return Ok(heard),
                        Ok(Err(error)) => last = error,
                        Err(_elapsed) => {}
                    }
                }
                return Err(last);
            }
        };
        self.hear(&client.map_err(|error| self.classify(error))?, channels).await
    }

    async fn hear(
        &self,
        client: &Client,
        channels: &[String],
    ) -> Result<(PubSubSink, PubSubStream)> {
        let heard: Result<_, RedisError> = async {
            let (mut sink, stream) = client.get_async_pubsub().await?.split();
            sink.subscribe(channels).await?;
            Ok((sink, stream))
        }
        .await;
        heard.map_err(|error| self.classify(error))
    }
}

impl Listening {
    /// The next thing that was published. `None`: the connection is lost, and what is published
    /// is not heard any more.
    pub async fn next(&mut self) -> Option<Msg> {
        loop {
            tokio::select! {
                biased;
                said = self.stream.next() => return said,
                () = sleep(SILENCE) => {}
            }
            let asked = within(self.timeout, self.sink.ping::<redis::Value>()).await;
            if !matches!(asked, Ok(Ok(_))) {
                return None;
            }
        }
    }
}
