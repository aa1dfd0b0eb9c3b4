//! The one list of capabilities: what the program serves, and from which section it comes.

use crate::conformance::{self, Conformance};
use base::backend::choose;
use base::{Opening, Place, Result};
use engine::{Capability as _, Plugin, plugin};
use futures::FutureExt as _;
use http::host::Http;
use keyvalue::host::KeyValue;
use keyvalue::host::cache::Caches;
use messaging::host::Messaging;
use std::sync::Arc;
use telemetry::host::Logging;

/// Every capability that components get.
pub(crate) const PLUGINS: &[Plugin] = &[
    plugin::<Http>(),
    plugin::<KeyValue>(),
    plugin::<Caches>(),
    plugin::<Messaging>(),
    plugin::<config::host::Config>(),
    plugin::<Logging>(),
];

/// The capabilities that have bindings, as the deployment file names them.
pub(crate) const BINDINGS: &[deployment::Capability<ToOpen>] = &[
    deployment::Capability {
        name: KeyValue::NAME,
        about: "Key-value stores, by the name that components open.",
        grant: "keyvalue",
        default_url: Some("embedded:"),
        abilities: keyvalue::Levels::ABILITIES,
        choose: |settings| {
            let (name, opening) = choose(keyvalue::BACKENDS, settings)?;
            Ok((name, ToOpen::KeyValue(opening)))
        },
    },
    deployment::Capability {
        name: Caches::NAME,
        about: "Caches. A component uses the first that it may open, or what its labels name.",
        grant: "cache",
        default_url: Some("memory:"),
        abilities: cache::Levels::ABILITIES,
        choose: |settings| {
            let (name, opening) = choose(cache::BACKENDS, settings)?;
            Ok((name, ToOpen::Cache(opening)))
        },
    },
    deployment::Capability {
        name: Messaging::NAME,
        about: "Brokers of messages, by the name that components connect to.",
        grant: "messaging",
        default_url: Some("embedded:"),
        abilities: messaging::Levels::ABILITIES,
        choose: |settings| {
            let (name, opening) = messaging::cloudevents::choose(settings)?;
            Ok((name, ToOpen::Messaging(opening)))
        },
    },
    deployment::Capability {
        name: config::host::Config::NAME,
        about: "Where configuration comes from, besides the component's own `config`.",
        grant: "config-from",
        default_url: None,
        abilities: &[],
        choose: |settings| {
            let (name, opening) = choose(config::BACKENDS, settings)?;
            Ok((name, ToOpen::Config(opening)))
        },
    },
];

/// The capabilities whose promises `wharf conformance` tries.
pub(crate) const CONFORMANCE: &[Conformance] = &[
    Conformance {
        name: KeyValue::NAME,
        run: |line, folder| {
            let what = (keyvalue::BACKENDS, keyvalue::promises::PROMISES);
            let describe = |store: &dyn keyvalue::Store| store.offer().backend.to_string();
            let destroy =
                |store: Arc<dyn keyvalue::Store>| async move { store.destroy().await }.boxed();
            conformance::run(KeyValue::NAME, what, line, folder, (describe, destroy)).boxed()
        },
    },
    Conformance {
        name: Caches::NAME,
        run: |line, folder| {
            let what = (cache::BACKENDS, cache::promises::PROMISES);
            let describe = |cache: &dyn cache::Cache| cache.offer().backend.to_string();
            let destroy =
                |cache: Arc<dyn cache::Cache>| async move { cache.destroy().await }.boxed();
            conformance::run(Caches::NAME, what, line, folder, (describe, destroy)).boxed()
        },
    },
    Conformance {
        name: Messaging::NAME,
        run: |line, folder| {
            let what = (messaging::BACKENDS, messaging::promises::PROMISES);
            let describe = |broker: &dyn messaging::Broker| broker.offer().backend.to_string();
            let destroy =
                |broker: Arc<dyn messaging::Broker>| async move { broker.destroy().await }.boxed();
            conformance::run(Messaging::NAME, what, line, folder, (describe, destroy)).boxed()
        },
    },
];

/// A binding's settings, read and not yet acted on.
pub(crate) enum ToOpen {
    KeyValue(Opening<dyn keyvalue::Store>),
    Cache(Opening<dyn cache::Cache>),
    Messaging(Opening<dyn messaging::Broker>),
    Config(Opening<dyn config::Source>),
}

/// An open binding.
#[derive(Clone)]
pub(crate) enum Opened {
    KeyValue(Arc<dyn keyvalue::Store>),
    Cache(Arc<dyn cache::Cache>),
    Messaging(Arc<dyn messaging::Broker>),
    Config(Arc<dyn config::Source>),
}

impl ToOpen {
    /// Connects, or opens the file.
    pub(crate) async fn open(self, place: Place) -> Result<Opened> {
        Ok(match self {
            Self::KeyValue(opening) => Opened::KeyValue(opening(place).await?),
            Self::Cache(opening) => Opened::Cache(opening(place).await?),
            Self::Messaging(opening) => Opened::Messaging(opening(place).await?),
            Self::Config(opening) => Opened::Config(opening(place).await?),
        })
    }
}

/// Whether an interface asks for what the bindings of a capability hold.
pub(crate) fn is_of(capability: &str, interface: &str) -> bool {
    // Stores and caches both take and give these: who imports them imports one of the others.
    if keyvalue::host::VALUES.contains(&interface) {
        return false;
    }
    let name = |id: &str| id.split('@').next().map(str::to_owned);
    let mut plugins = PLUGINS.iter().filter(|plugin| plugin.name == capability);
    plugins.any(|plugin| plugin.served.iter().any(|id| name(id) == name(interface)))
}

#[cfg(test)]
mod tests {
    use super::BINDINGS;
    use crate::program::variable;

    /// The page is what the reader of deployment files itself knows. `UPDATE=1` writes it.
    #[test]
    fn the_manual_has_every_key() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/deployment-keys.md");
        let reference = deployment::reference(BINDINGS);
        if variable("UPDATE").is_some() {
            std::fs::write(page, &reference).unwrap();
        }
        let written = std::fs::read_to_string(page).unwrap();
        assert!(written == reference, "docs/deployment-keys.md is old; run this with UPDATE=1");
    }
}
