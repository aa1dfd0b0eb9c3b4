//! Kafka: clients of librdkafka with the same settings, behind one gate.
//!
//! librdkafka has threads of its own, finds the brokers by itself and connects again by itself.
//! What it does not do is say at once that nobody is there: that is what the gate is for. Calls of
//! it that wait are made on threads that may, and what is in the end given up ends there too.

mod context;
mod fault;
mod publisher;
mod versions;

use crate::gate::Gate;
use crate::look::{self, Meant};
use crate::url::{Target, address};
use base::{Error, Result};
use rdkafka::admin::AdminClient;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use context::Context;
pub use fault::{code, is_member_gone};
pub use publisher::{Publisher, Stored};
pub use rdkafka;

/// The port where nothing else is said.
const PORT: u16 = 9092;
/// What the longest call waits less than its timeout, so that it says itself what kept it.
const MARGIN: u32 = 4;

/// Kafka says nothing to who does not speak its language: it hangs up.
const MEANT: Meant = Meant { vendor: "kafka", name: "Kafka", line: look::GET, is_own: |_| false };

/// Where the servers are, and how calls to them are bounded.
#[derive(Clone)]
pub struct Settings {
    /// `kafka://[user:password@]host[:port][,host[:port]…]`
    pub url: String,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many calls are on their way at once.
    pub in_flight: usize,
}

/// A way to the servers. Connects when it is first needed.
pub struct Kafka {
    gate: Gate,
    hosts: Vec<String>,
    timeout: Duration,
    config: rdkafka::ClientConfig,
    context: Context,
    admin: Mutex<Option<Arc<AdminClient<Context>>>>,
}

impl Kafka {
    /// A way to the servers that `settings` name. Connects to nobody yet.
    ///
    /// # Errors
    /// `Invalid` when the URL cannot be read. The message does not hold the password.
    pub fn new(settings: &Settings) -> Result<Self> {
        let (user, hosts) = read(&settings.url)?;
        let server = format!("kafka {}", hosts.join(","));
        let timeout = settings.timeout;
        let mut config = rdkafka::ClientConfig::new();
        let socket = timeout.clamp(Duration::from_secs(2), Duration::from_secs(60));
        config
            .set("bootstrap.servers", hosts.join(","))
            .set("client.id", "wharf")
            .set("socket.timeout.ms", milliseconds(socket))
            .set("socket.connection.setup.timeout.ms", milliseconds(socket))
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "500")
            // A topic that is gone shall not come back by somebody asking for it.
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        if let Some((name, password)) = user {
            config
                .set("security.protocol", "sasl_plaintext")
                .set("sasl.mechanism", "PLAIN")
                .set("sasl.username", name)
                .set("sasl.password", password.reveal());
        }
        Ok(Self {
            gate: Gate::new(server.clone(), timeout, settings.in_flight),
            context: Context::new(server),
            hosts,
            timeout,
            config,
            admin: Mutex::default(),
        })
    }

    /// What it leads to, for messages.
    pub fn server(&self) -> &str {
        self.gate.server()
    }

    /// How long what is asked within a call may take, so that it ends before the call does.
    pub fn patience(&self) -> Duration {
        self.timeout - self.timeout / MARGIN
    }

    /// The settings that all clients share.
    pub fn config(&self) -> rdkafka::ClientConfig {
        self.config.clone()
    }

    /// What clients tell of themselves.
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// What came of the first call, or that what answers there is no Kafka, where it shows so.
    ///
    /// # Errors
    /// The call's own; `Invalid` of another kind of server.
    pub async fn recognised<T>(&self, first: Result<T>) -> Result<T> {
        MEANT.recognised(first, &self.hosts).await
    }

    /// Holds the servers to what is needed of them, before anything is made there.
    ///
    /// # Errors
    /// `Unsupported` of one that is too old.
    pub async fn admit(&self) -> Result<()> {
        self.gate.call(versions::admit(&self.hosts, self.server(), self.patience())).await
    }

    /// Makes a call.
    ///
    /// # Errors
    /// The call's own; as [`Gate::call`].
    pub async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.gate.call(call).await
    }

    /// Makes a call that blocks, on a thread that may.
    ///
    /// # Errors
    /// The call's own; as [`Gate::call`].
    pub async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> KafkaResult<T> + Send + 'static,
    ) -> Result<T> {
        self.gate
            .call(async {
                match tokio::task::spawn_blocking(call).await {
                    Ok(outcome) => outcome.map_err(|error| self.error(error)),
                    Err(error) => {
                        Err(Error::internal("a call ended without an answer").with_source(error))
                    }
                }
            })
            .await
    }

    /// The client for questions about topics and groups.
    ///
    /// # Errors
    /// `Internal` where there can be none.
    pub fn admin(&self) -> Result<Arc<AdminClient<Context>>> {
        let mut admin = base::lock(&self.admin);
        if let Some(admin) = &*admin {
            return Ok(Arc::clone(admin));
        }
        let made = AdminClient::from_config_and_context(&self.config, self.context.clone());
        let made = Arc::new(made.map_err(|error| self.error(error))?);
        *admin = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Asks whether somebody is there.
    ///
    /// # Errors
    /// As [`blocking`](Self::blocking).
    pub async fn reach(&self) -> Result<()> {
        let (admin, patience) = (self.admin()?, self.patience());
        // That of one topic which may not be there is a short answer.
        let ask = move || admin.inner().fetch_metadata(Some("wharf"), patience).map(drop);
        self.blocking(ask).await
    }

    /// The error of who waited in vain.
    pub(crate) fn silence(&self) -> Error {
        fault::error(&self.context, KafkaError::Global(RDKafkaErrorCode::RequestTimedOut))
    }

    /// What a caller can do about an error of the client.
    pub fn error(&self, error: KafkaError) -> Error {
        fault::error(&self.context, error)
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        drop_elsewhere(base::lock(&self.admin).take());
    }
}

/// Drops a client on a thread that may wait for its connections to end.
pub fn drop_elsewhere<T: Send + 'static>(client: T) {
    let ending = std::thread::Builder::new().name("kafka-end".to_owned());
    // Where there is no thread it ends here.
    drop(ending.spawn(move || drop(client)));
}

/// Whole milliseconds, as librdkafka is told times.
pub fn milliseconds(time: Duration) -> String {
    time.as_millis().max(1).to_string()
}

type User = (String, base::Secret);

/// The user and the servers that a URL names.
fn read(url: &str) -> Result<(Option<User>, Vec<String>)> {
    let wrong = || {
        let shown = base::redact(url);
        let error = Error::invalid(format!("`{shown}` is no URL of Kafka servers"));
        match url.starts_with("kafkas:") {
            true => error.with_hint("this program speaks to Kafka without TLS"),
            false => error.with_hint("for example kafka://host:9092,other:9092"),
        }
    };
    let (first, rest) =
        url.split_once(',').map_or((url, None), |(first, rest)| (first, Some(rest)));
    let target = Target::read(first, "kafka", PORT).filter(|target| !target.tls);
    let Target { user, host, .. } = target.ok_or_else(wrong)?;
    let mut hosts = vec![host];
    for other in rest.into_iter().flat_map(|rest| rest.split(',')) {
        hosts.push(address(other, PORT).ok_or_else(wrong)?);
    }
    Ok((user, hosts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Kind;

    #[test]
    fn urls_name_one_server_and_more() {
        let (user, hosts) = read("kafka://h").unwrap();
        assert!(user.is_none());
        assert_eq!(hosts, ["h:9092"]);
        let (user, hosts) = read("kafka://u:p%2Cq@h:1,i,[::1]:2").unwrap();
        let (name, password) = user.unwrap();
        assert_eq!((name.as_str(), password.reveal()), ("u", "p,q"));
        assert_eq!(hosts, ["h:1", "i:9092", "[::1]:2"]);
        for wrong in
            ["kafka:h", "kafka://", "kafka://h,", "kafka://h/x", "kafkas://h", "kafka://u@h"]
        {
            let error = read(wrong).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{wrong}");
        }
        let error = read("kafka://u:secret@h/x").unwrap_err().to_string();
        assert!(error.contains("kafka://u:***@h/x"), "{error}");
    }
}
