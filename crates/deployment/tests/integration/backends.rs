//! Backends that only say how they would be opened.

use base::backend::{self, Backend, Entry, Place};
use base::offer::{Ability, Durability, Ordering, Ttl};
use base::{Result, Secret};
use serde::Deserialize;
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeValue;
use wharf_deployment::{Capability, Chosen};

const fn ability(
    word: &'static str,
    about: &'static str,
    levels: &'static [&'static str],
) -> Ability {
    Ability { word, about, levels }
}

/// What a binding becomes in these tests.
pub(crate) type Opened = base::Opening<String>;

pub(crate) const CAPABILITIES: &[Capability<Opened>] = &[
    Capability {
        name: "keyvalue",
        about: "Keys and values.",
        grant: "keyvalue",
        default_url: Some("embedded:"),
        abilities: &[
            ability("durability", "What survives a crash.", Durability::WORDS),
            ability("ttl", "How finely time to live is kept.", Ttl::WORDS),
        ],
        choose: |settings| choose(KEYVALUE, settings),
    },
    Capability {
        name: "messaging",
        about: "Messages.",
        grant: "messaging",
        default_url: None,
        abilities: &[ability("ordering", "Which messages keep their order.", Ordering::WORDS)],
        choose: |settings| choose(KEYVALUE, settings),
    },
    Capability {
        name: "config",
        about: "Settings that components read.",
        grant: "config-from",
        default_url: None,
        abilities: &[],
        choose: |settings| choose(CONFIG, settings),
    },
];

const KEYVALUE: &[Entry<String>] = &[
    backend::backend::<Memory>(),
    backend::backend::<Embedded>(),
    backend::backend::<Redis>(),
    backend::missing("nats", &["nats"]),
];

const CONFIG: &[Entry<String>] = &[backend::backend::<Dotenv>()];

fn choose(backends: &[Entry<String>], settings: Spanned<DeValue<'_>>) -> Chosen<Opened> {
    backend::choose(backends, settings)
}

macro_rules! backends {
    ($($name:ident { $($field:ident: $type:ty),* } $word:literal $example:literal)*) => {$(
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name { url: String, $(#[serde(default)] $field: Option<$type>),* }

        impl Backend for $name {
            type Contract = String;
            const NAME: &'static str = $word;
            const SCHEMES: &'static [&'static str] = &[$word];
            const EXAMPLE: &'static str = $example;

            /// Quotes what it does not like, as a careless backend may.
            fn check(&self) -> Result<(), String> {
                match self.url.rsplit_once(':') {
                    Some((_, port)) if port == "port" => Err(format!("`{}` has no port", self.url)),
                    _ => Ok(()),
                }
            }

            async fn open(self, _: Place) -> Result<Arc<String>> {
                let settings = ($(self.$field,)*);
                Ok(Arc::new(format!("{} {settings:?}", self.url)))
            }
        }
    )*};
}

backends! {
    Memory { size: u32 } "memory" "memory:"
    Embedded { size: u32 } "embedded" "embedded:"
    Redis { pool: u32, password: Secret } "redis" "redis://127.0.0.1:6379"
    Dotenv { optional: bool } "dotenv" "dotenv:.env"
}
