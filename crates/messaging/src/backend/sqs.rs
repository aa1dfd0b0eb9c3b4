//! Messages in Amazon SQS: a group is a queue, and the tags of one queue more are the list of
//! groups.

mod account;
mod names;
mod tags;

use super::queues::{Ages, Queues, largest};
use crate::{Best, Broker, Checked, Emulated, Levels, Offer};
use account::Account;
use base::offer::{
    Attempts, Dedup, Delay, Durability, Groups, Ordering, Redelivery, Replay, Reply, Wildcards,
};
use base::{Backend, Error, Place, Result, Secret};
use connect::sqs::{Credentials, Settings, Sqs as Client};
use connect::tls::Trust;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long Amazon may take to show everybody what was changed. It says a second of new queues,
/// and nothing of tags.
const SETTLED: Duration = Duration::from_secs(3);

/// A region of Amazon's.
pub(super) const BEST: Best = Best {
    backend: Sqs::NAME,
    levels: Levels {
        durability: Durability::Replicated,
        groups: Groups::Shared,
        wildcards: Wildcards::Words,
        redelivery: Redelivery::Deadline,
        attempts: Attempts::Group,
        retry: Delay::Seconds,
        delay: Delay::Seconds,
        replay: Replay::None,
        // Queues of the other kind have it, but a copy for each group is another message.
        dedup: Dedup::None,
        ordering: Ordering::None,
        request: Reply::None,
    },
    lowered: &[("durability", "none at an address that is not Amazon's")],
    emulated: &[
        Emulated {
            ability: "groups",
            how: "a queue for each, and who publishes sends to all that cover the topic",
        },
        Emulated {
            ability: "wildcards",
            how: "what groups cover is written down, and who publishes knows it",
        },
    ],
};

/// `sqs:` — messages in queues of Amazon SQS.
///
/// Each group has a queue of its own. Works with what speaks the same protocol, too.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sqs {
    /// `sqs://region[/prefix]`, or `sqs://host:port[/prefix][?region=region]` and `sqss://…` for
    /// what is not Amazon's. Names of queues begin with the prefix, `"wharf_<app>_<binding>"` if
    /// there is none.
    pub url: String,
    /// The id of the access key. Default: what AWS_ACCESS_KEY_ID says, with its secret and token.
    #[serde(default)]
    pub access_key: Option<String>,
    /// The secret access key.
    #[serde(default)]
    pub secret_key: Option<Secret>,
    /// What goes with an access key that lasts for a while only.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// The file of the certificate authorities that are trusted with TLS, in PEM. Default: the
    /// system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// How old the list of groups may be that a host publishes by. Subscribing takes as long.
    /// Default `"2s"`.
    #[serde(
        default = "super::queues::usual_refresh",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub refresh: Duration,
    /// How long the service may take to show a changed list to everybody. Subscribing takes so
    /// much longer. Default `"3s"`; `"0s"` at an address that is not Amazon's.
    #[serde(default, deserialize_with = "some_duration")]
    pub settle: Option<Duration>,
    /// How long a call may take. Default `"5s"`.
    #[serde(
        default = "connect::gate::usual_timeout",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub timeout: Duration,
    /// How many calls are on their way at once. Default `1024`.
    #[serde(default = "connect::gate::usual_in_flight")]
    pub in_flight: usize,
}

fn some_duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    base::units::deserialize_duration(from).map(Some)
}

impl Sqs {
    /// Who calls, as the settings say or the machine.
    fn credentials(&self) -> Result<Option<Credentials>> {
        match (&self.access_key, &self.secret_key) {
            (Some(key), Some(secret)) => Ok(Some(Credentials {
                key: key.clone(),
                secret: secret.clone(),
                token: self.session_token.clone(),
            })),
            (None, None) if self.session_token.is_none() => Ok(of_the_machine()),
            _ => Err(Error::invalid("`access-key` and `secret-key` go together")
                .with_hint("write both, or neither")),
        }
    }

    /// The way to the service, over which nothing went yet.
    fn client(&self, trust: Trust, credentials: Option<Credentials>) -> Result<Client> {
        let Self { timeout, in_flight, .. } = *self;
        let client = Client::new(&Settings {
            url: self.url.clone(),
            credentials,
            trust,
            timeout,
            in_flight,
        })?;
        if client.prefix().is_some_and(|prefix| !names::is_prefix(prefix)) {
            return Err(Error::invalid("a prefix has letters, digits and `-`, 40 at most")
                .with_hint("write it after the region: `sqs://REGION/PREFIX`"));
        }
        super::queues::check_refresh(self.refresh)?;
        Ok(client)
    }
}

/// The access key that the environment names, by the words that everybody has for it.
#[expect(clippy::disallowed_methods, reason = "what programs are given where Amazon runs them")]
fn of_the_machine() -> Option<Credentials> {
    let named = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
    Some(Credentials {
        key: named("AWS_ACCESS_KEY_ID")?,
        secret: Secret::new(named("AWS_SECRET_ACCESS_KEY")?),
        token: named("AWS_SESSION_TOKEN").map(Secret::new),
    })
}

impl Backend for Sqs {
    type Contract = dyn Broker;
    const NAME: &'static str = "sqs";
    const SCHEMES: &'static [&'static str] = &["sqs", "sqss"];
    const EXAMPLE: &'static str = "sqs://eu-central-1";

    fn check(&self) -> Result<(), String> {
        let said = |error: Error| error.to_string();
        let named = self.credentials().map_err(said)?;
        // Whether the machine names somebody is seen where it runs.
        let somebody =
            || Credentials { key: "somebody".to_owned(), secret: Secret::default(), token: None };
        let named = named.unwrap_or_else(somebody);
        self.client(Trust::default(), Some(named)).map(drop).map_err(said)
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Broker>> {
        let trust = Trust::read(&place.base, self.ca.as_deref(), None, None)?;
        let client = self.client(trust, self.credentials()?)?;
        let name = client.prefix().map_or_else(|| names::usual(&place), str::to_owned);
        let is_amazon = client.is_amazon();
        let settle = self.settle.unwrap_or(if is_amazon { SETTLED } else { Duration::ZERO });
        let account = Account::open(client, name, self.timeout).await?;
        let durability = match is_amazon {
            true => Durability::Replicated,
            // Nobody says what stands there.
            false => Durability::None,
        };
        let offer = Offer {
            backend: Self::NAME.into(),
            levels: Levels { durability, ..BEST.levels },
            max_message: largest(account.largest()).min(Offer::MAX_MESSAGE),
            emulated: BEST.emulated.to_vec(),
        };
        let ages = Ages { refresh: self.refresh, settle };
        Ok(Arc::new(Checked::new(Queues::new(account, offer, ages))))
    }
}
