//! Entries in memcached, whose names are shorter and whose time is coarser than ours.
//!
//! Each item holds, before the value, its whole name and the moment when it is over: a name that
//! only looks like another's is a miss, and nothing is served past its time.

use crate::entries::end;
use crate::{Best, Cache, Emulated, Entries, Expiring, Front, Levels, Offer};
use async_trait::async_trait;
use base::units::Size;
use base::{Backend, Error, Kind, Place, Result};
use bytes::Bytes;
use connect::memcached::{Memcached as Server, Settings};
use connect::tls::Trust;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The layout of an item: this byte, the end in milliseconds since 1970 (0: none), the length of
/// the name, the name, the value.
const LAYOUT: u8 = 1;
/// What stands before the name.
const HEAD: usize = 1 + 8 + 2;
/// The largest item of a server with the usual settings, less what the server itself puts there.
const LARGEST: usize = (1 << 20) - (1 << 10);
/// Up to this a time to live is counted from now; more is a date.
const RELATIVE: u64 = 30 * 24 * 3600;
/// Names longer than this are hashed: the server takes 250 bytes.
const LONGEST_NAME: usize = 200;

pub(super) const BEST: Best = Best {
    backend: Memcached::NAME,
    levels: Levels { max_value: room(LARGEST), ..Levels::USUAL },
    lowered: &[("max-value", "less where the server's `-I` is below 1m")],
    emulated: &[
        Emulated {
            ability: "key",
            how: "long or unclean keys are hashed, and kept whole beside the value",
        },
        Emulated {
            ability: "ttl",
            how: "its end is kept beside the value, in milliseconds by the hosts' clocks",
        },
    ],
};

/// How many bytes of a value an item has room for, whatever its key.
const fn room(item: usize) -> usize {
    item.saturating_sub(HEAD + Offer::MAX_KEY)
}

/// `memcached:` — entries in memcached, by its text protocol; with TLS and a password where the
/// server has them.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Memcached {
    /// `memcached://[user:password@]host[:port]`, or `memcacheds://…` for TLS
    pub url: String,
    /// The file of the certificate authorities that are trusted with TLS, in PEM. Default: the
    /// system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The file of the certificate to show to a server that asks for one, in PEM.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// The file of its private key, in PEM.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// How many connections there are at most. Default `16`.
    #[serde(default = "Memcached::some")]
    pub connections: usize,
    /// How long a call may take. Default `"5s"`.
    #[serde(
        default = "connect::gate::usual_timeout",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub timeout: Duration,
    /// How many calls are on their way, or wait for a connection, at once. Default `1024`.
    #[serde(default = "connect::gate::usual_in_flight")]
    pub in_flight: usize,
    /// How long a vacancy is out before another may have it. Default `"30s"`.
    #[serde(
        default = "crate::front::usual_vacancy_timeout",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub vacancy_timeout: Duration,
}

impl Memcached {
    fn some() -> usize {
        16
    }

    /// The way to the server, over which nothing went yet.
    fn connection(&self, trust: Trust) -> Result<Server> {
        Server::new(&Settings {
            url: self.url.clone(),
            trust,
            connections: self.connections,
            timeout: self.timeout,
            in_flight: self.in_flight,
        })
    }
}

impl Backend for Memcached {
    type Contract = dyn Cache;
    const NAME: &'static str = "memcached";
    const SCHEMES: &'static [&'static str] = &["memcached", "memcacheds"];
    const EXAMPLE: &'static str = "memcached://127.0.0.1:11211";

    fn check(&self) -> Result<(), String> {
        super::check_vacancy_timeout(self.vacancy_timeout)?;
        let has_files = [&self.ca, &self.certificate, &self.key].iter().any(|it| it.is_some());
        if has_files && self.url.starts_with("memcached:") {
            // Whoever names them believes that nobody listens.
            let what = "`ca`, `certificate` and `key` are for TLS: write `memcacheds://…`";
            return Err(what.to_owned());
        }
        self.connection(Trust::default()).map(drop).map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Cache>> {
        let (ca, certificate) = (self.ca.as_deref(), self.certificate.as_deref());
        let trust = Trust::read(&place.base, ca, certificate, self.key.as_deref())?;
        let server = self.connection(trust)?;
        let version = server.version().await?;
        let items = Items::new(server, &place);
        let largest = items.probe().await?;
        let offer = Offer {
            backend: format!("memcached {version}").into(),
            levels: Levels { max_value: room(largest), ..BEST.levels },
            emulated: BEST.emulated.to_vec(),
        };
        Ok(Arc::new(Front::new(Items { offer, ..items }, self.vacancy_timeout)))
    }
}

/// The entries behind `memcached:`.
struct Items {
    server: Server,
    /// What names begin with: letters that need no hashing.
    prefix: String,
    offer: Offer,
}

impl Items {
    fn new(server: Server, place: &Place) -> Self {
        // The length keeps `a` + `b:c` from being `a:b` + `c`.
        let whose = format!("{}:{}:{}", place.app.len(), place.app, place.binding);
        let prefix = format!("wharf.{}.", digest(&whose, 16));
        let offer = Offer {
            backend: "memcached".into(),
            levels: Levels { max_value: 0, ..BEST.levels },
            emulated: Vec::new(),
        };
        Self { server, prefix, offer }
    }

    /// The server's name for a key.
    fn name(&self, key: &str) -> String {
        let clean = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        match key.len() <= LONGEST_NAME && key.bytes().all(clean) {
            true => format!("{}k.{key}", self.prefix),
            false => format!("{}h.{}", self.prefix, digest(key, 32)),
        }
    }

    /// The size of the largest item that the server takes, up to [`LARGEST`].
    async fn probe(&self) -> Result<usize> {
        let name = format!("{}probe", self.prefix);
        let mut size = LARGEST;
        while size > HEAD + Offer::MAX_KEY {
            match self.server.set(&name, &vec![0; size], 1).await {
                Err(error) if error.kind() == Kind::TooLarge => size /= 2,
                Err(error) => return Err(error),
                Ok(()) => {
                    self.server.delete(&name).await?;
                    return Ok(size);
                }
            }
        }
        let least = Size((HEAD + Offer::MAX_KEY) as u64);
        Err(Error::unsupported(format!("{} takes no items of {least}", self.server.server()))
            .with_hint("start it with a larger `-I`"))
    }
}

/// The first `bytes` of a hash, in hexadecimal.
fn digest(text: &str, bytes: usize) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(text).iter().take(bytes) {
        // Writing to a string cannot fail.
        _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// An item with its end.
fn wrap(key: &str, value: &[u8], end: u64) -> Result<Vec<u8>> {
    let length = u16::try_from(key.len())
        .map_err(|error| Error::internal("a key that was checked").with_source(error))?;
    let mut item = Vec::with_capacity(HEAD + key.len() + value.len());
    item.push(LAYOUT);
    item.extend_from_slice(&end.to_be_bytes());
    item.extend_from_slice(&length.to_be_bytes());
    item.extend_from_slice(key.as_bytes());
    item.extend_from_slice(value);
    Ok(item)
}

/// The value and the end of an item, if it is of this key.
fn unwrap(key: &str, item: Vec<u8>) -> Option<(Bytes, u64)> {
    let (&[LAYOUT], rest) = item.split_first_chunk::<1>()? else { return None };
    let (end, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (end, length) = (u64::from_be_bytes(*end), usize::from(u16::from_be_bytes(*length)));
    if rest.get(..length)? != key.as_bytes() {
        return None;
    }
    Some((Bytes::from(item).slice(HEAD + length..), end))
}

#[async_trait]
impl Entries for Items {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn expiring(&self, key: &str) -> Result<Option<Expiring>> {
        let name = self.name(key);
        let Some(item) = self.server.get(&name).await? else { return Ok(None) };
        let Some((value, over)) = unwrap(key, item) else { return Ok(None) };
        if over == 0 {
            return Ok(Some(Expiring { value, until: None }));
        }
        let (now, instant) = (now(), Instant::now());
        let rest = Duration::from_millis(over.saturating_sub(now));
        match rest.is_zero() {
            true => Ok(None),
            false => Ok(Some(Expiring { value, until: end(instant, Some(rest)) })),
        }
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<()> {
        let name = self.name(key);
        let now = now();
        let over = ttl.and_then(|ttl| now.checked_add(u64::try_from(ttl.as_millis()).ok()?));
        // The server's clock ticks once a second: one more, lest it forgets too early.
        let seconds = over.map_or(0, |over| match (over - now).div_ceil(1000) + 1 {
            rest if rest <= RELATIVE => rest,
            _ => over.div_ceil(1000) + 1,
        });
        // What the server cannot count is for ever there, and ends by what stands in the item.
        let seconds = if seconds > u64::from(i32::MAX.unsigned_abs()) { 0 } else { seconds };
        let seconds = i64::try_from(seconds).unwrap_or(0);
        let item = wrap(key, &value, over.unwrap_or(0))?;
        self.server.set(&name, &item, seconds).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.server.delete(&self.name(key)).await
    }

    async fn destroy(&self) -> Result<()> {
        for name in self.server.names(&self.prefix).await? {
            self.server.delete(&name).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_of_its_own_key_alone() {
        let item = wrap("key", b"value", 7).unwrap();
        assert_eq!(unwrap("key", item.clone()), Some((Bytes::from("value"), 7)));
        assert_eq!(unwrap("kez", item.clone()), None);
        assert_eq!(unwrap("keyvalue", item.clone()), None);
        assert_eq!(unwrap("", item.clone()), None);
        for cut in 0..HEAD + 3 {
            assert_eq!(unwrap("key", item[..cut].to_vec()), None);
        }
        assert_eq!(unwrap("key", b"somebody else's".to_vec()), None);
    }
}
