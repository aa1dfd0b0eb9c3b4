//! Messages in queues of Azure Storage: a group is a queue, and the metadata of all of them are the
//! list of groups.

mod account;
mod names;
mod xml;

use super::queues::{Ages, Queues, largest};
use crate::{Best, Broker, Checked, Emulated, Levels, Offer};
use account::{Account, LARGEST};
use base::offer::{
    Attempts, Dedup, Delay, Durability, Groups, Ordering, Redelivery, Replay, Reply, Wildcards,
};
use base::{Backend, Error, Place, Result, Secret};
use connect::azure_queue::{AzureQueue as Client, Settings};
use connect::tls::Trust;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// An account of Azure's.
pub(super) const BEST: Best = Best {
    backend: AzureQueue::NAME,
    levels: Levels {
        durability: Durability::Replicated,
        groups: Groups::Shared,
        wildcards: Wildcards::Words,
        redelivery: Redelivery::Deadline,
        attempts: Attempts::Group,
        retry: Delay::Seconds,
        delay: Delay::Seconds,
        replay: Replay::None,
        dedup: Dedup::None,
        ordering: Ordering::None,
        request: Reply::None,
    },
    lowered: &[("durability", "none at an address that is not Azure's")],
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

/// `azure-queue:` — messages in queues of Azure Storage.
///
/// Each group has a queue of its own. Works with what speaks the same protocol, too.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AzureQueue {
    /// `azure-queue://account[/prefix]`, or `azure-queue://host:port/account[/prefix]` and
    /// `azure-queues://…` for what is not Azure's. Names of queues begin with the prefix,
    /// `"wharf-<app>-<binding>"` if there is none.
    pub url: String,
    /// The account's key, in Base64. Default: what AZURE_STORAGE_KEY says.
    #[serde(default)]
    pub account_key: Option<Secret>,
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

impl AzureQueue {
    /// The way to the account, over which nothing went yet.
    fn client(&self, trust: Trust, key: Option<Secret>) -> Result<Client> {
        let client = Client::new(&Settings {
            url: self.url.clone(),
            key,
            trust,
            timeout: self.timeout,
            in_flight: self.in_flight,
        })?;
        if client.prefix().is_some_and(|prefix| !names::is_prefix(prefix)) {
            return Err(Error::invalid("a prefix has small letters and digits, 24 at most"));
        }
        super::queues::check_refresh(self.refresh)?;
        Ok(client)
    }
}

/// The key that the environment has, by the word that others have for it.
#[expect(clippy::disallowed_methods, reason = "the word that programs for Azure look for")]
fn of_the_machine() -> Option<Secret> {
    let key = std::env::var("AZURE_STORAGE_KEY").ok().filter(|key| !key.is_empty());
    key.map(Secret::new)
}

impl Backend for AzureQueue {
    type Contract = dyn Broker;
    const NAME: &'static str = "azure-queue";
    const SCHEMES: &'static [&'static str] = &["azure-queue", "azure-queues"];
    const EXAMPLE: &'static str = "azure-queue://account";

    fn check(&self) -> Result<(), String> {
        // Whether the machine has a key is seen where it runs.
        let key = self.account_key.clone().unwrap_or_default();
        self.client(Trust::default(), Some(key)).map(drop).map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Broker>> {
        let trust = Trust::read(&place.base, self.ca.as_deref(), None, None)?;
        let client = self.client(trust, self.account_key.clone().or_else(of_the_machine))?;
        let prefix = client.prefix().map_or_else(|| names::usual(&place), str::to_owned);
        let durability = match client.is_azure() {
            true => Durability::Replicated,
            // Nobody says what stands there.
            false => Durability::None,
        };
        let account = Account::open(client, prefix, self.timeout).await?;
        let offer = Offer {
            backend: Self::NAME.into(),
            levels: Levels { durability, ..BEST.levels },
            max_message: largest(LARGEST),
            emulated: BEST.emulated.to_vec(),
        };
        // What was changed Azure shows to everybody at once.
        let ages = Ages { refresh: self.refresh, settle: Duration::ZERO };
        Ok(Arc::new(Checked::new(Queues::new(account, offer, ages))))
    }
}
