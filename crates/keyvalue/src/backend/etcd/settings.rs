//! The settings of a binding in etcd, and what the live server adds to its offer.

use crate::Best;
use crate::{Emulated, Levels, Offer};
use base::offer::{Atomicity, Consistency, Durability, Fence, List, Ttl, Watch};
use base::{Backend as _, Error, Kind, Place, Result};
use connect::etcd::{Etcd as Server, Settings};
use connect::tls::Trust;
use etcd_client::{Client, GetOptions, Txn, TxnOp};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The oldest version that has all that is needed here.
const OLDEST: (u32, u32) = (3, 4);
/// The largest value. Requests of more than 1.5 MiB are refused.
const MAX_VALUE: usize = 1 << 20;
/// Numbers of operations in a transaction that are tried out. The server's limit is 128 where
/// nothing else is said.
const OPERATIONS: [usize; 4] = [120, 60, 30, 15];
/// The level `seconds` keeps a time that is shorter than this one as if it were this long.
const SHORTEST: Duration = Duration::from_secs(2);

/// Three members or more, whose leases are not too coarse.
pub(in crate::backend) const BEST: Best = Best {
    backend: Etcd::NAME,
    levels: Levels {
        durability: Durability::Replicated,
        atomicity: Atomicity::Key,
        ttl: Ttl::Seconds,
        list: List::Ordered,
        watch: Watch::Resumable,
        fence: Fence::Quorum,
        consistency: Consistency::Linearizable,
    },
    lowered: &[
        ("durability", "fsync with fewer than three members"),
        ("ttl", "none where the election timeout is above 1.3 s"),
        ("fence", "single-node with fewer than three members"),
    ],
    emulated: &[Emulated { ability: "increment", how: "compare-and-swap in a loop" }],
};

/// `etcd:` — entries in etcd.
///
/// Needs version 3.4 or newer. Times to live are leases: they end by the clock of the leader, and
/// begin anew when another leads or the server was restarted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Etcd {
    /// `etcd://[user:password@]host[:port]`, or `etcds://…` for TLS
    pub url: String,
    /// Further nodes of the cluster, as `"host:port"`. Name them all, or the binding is away with
    /// the node of the URL.
    #[serde(default)]
    pub nodes: Vec<String>,
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
    /// What keys begin with. Default `"wharf/<app>/<binding>/"`.
    #[serde(default)]
    pub prefix: Option<String>,
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

/// What was found behind a binding.
pub(super) struct Found {
    pub(super) cluster: u64,
    pub(super) operations: usize,
    /// The shortest lease that the server gives.
    pub(super) shortest: Duration,
    pub(super) offer: Offer,
}

impl Etcd {
    /// The way to the server, over which nothing went yet.
    pub(super) fn connection(&self, trust: Trust) -> Result<Server> {
        Server::new(&Settings {
            url: self.url.clone(),
            nodes: self.nodes.clone(),
            trust,
            timeout: self.timeout,
            in_flight: self.in_flight,
        })
    }

    /// The files of TLS.
    pub(super) fn trust(&self, place: &Place) -> Result<Trust> {
        let Self { ca, certificate, key, .. } = self;
        Trust::read(&place.base, ca.as_deref(), certificate.as_deref(), key.as_deref())
    }

    /// What all keys of the binding begin with.
    pub(super) fn prefix(&self, place: &Place) -> String {
        // A slash in a name would let one binding's keys begin as another's do.
        let word = |name: &str| name.replace('%', "%25").replace('/', "%2F");
        match &self.prefix {
            Some(prefix) if prefix.ends_with('/') => prefix.clone(),
            Some(prefix) => format!("{prefix}/"),
            None => format!("wharf/{}/{}/", word(&place.app), word(&place.binding)),
        }
    }

    /// A server that wants TLS hangs up on who does not begin with it, and the other way round.
    fn suspect_tls(&self, error: Error) -> Error {
        let has_hung_up = ["broken", "closed", "reset"];
        let has_hung_up = has_hung_up.iter().any(|word| error.message().contains(word));
        if !has_hung_up || error.hint().is_some() {
            return error;
        }
        error.with_hint(match self.url.starts_with("etcds:") {
            true => "a server that does not speak TLS has a URL that begins with `etcd:`",
            false => "a server that wants TLS has a URL that begins with `etcds:`",
        })
    }

    /// What the server behind the binding can do.
    pub(super) async fn probe(&self, server: &Server, prefix: &str) -> Result<Found> {
        let status = |client: Client, ()| async move { client.maintenance_client().status().await };
        let status = server.recognised(server.read((), status).await).await;
        let status = status.map_err(|error| self.suspect_tls(error))?;
        let version = status.version().to_owned();
        connect::version::admit(server.server(), &version, OLDEST)?;
        let list = |client: Client, ()| async move { client.cluster_client().member_list().await };
        let members = server.read((), list).await?;
        let voters = members.members().iter().filter(|member| !member.is_learner()).count();
        if voters > server.nodes() {
            let named = server.nodes();
            tracing::warn!(
                server = server.server(),
                "the cluster has {voters} members and {named} of them named; the binding is away \
                 with those (see `nodes`)"
            );
        }
        // Also finds out whether the user may read here.
        let look = GetOptions::new().with_prefix().with_limit(1).with_keys_only();
        let found = server.range(prefix.as_bytes(), look).await?;
        let cluster = found.header().map_or(0, |header| header.cluster_id());
        let shortest = shortest(server).await?;
        let quorum = voters >= 3;
        Ok(Found {
            cluster,
            operations: operations(server, prefix).await?,
            shortest,
            offer: Offer {
                backend: match voters {
                    0 | 1 => format!("etcd {version}").into(),
                    voters => format!("etcd {version} of {voters} members").into(),
                },
                levels: Levels {
                    durability: if quorum { Durability::Replicated } else { Durability::Fsync },
                    ttl: if shortest <= SHORTEST { Ttl::Seconds } else { Ttl::None },
                    fence: if quorum { Fence::Quorum } else { Fence::SingleNode },
                    ..BEST.levels
                },
                max_key: Offer::MAX_KEY,
                max_value: MAX_VALUE,
                emulated: BEST.emulated.to_vec(),
            },
        })
    }
}

/// How many operations a transaction may have. It can be found out only by trying.
async fn operations(server: &Server, prefix: &str) -> Result<usize> {
    let mut refused = None;
    for number in OPERATIONS {
        let get = TxnOp::get(prefix, Some(GetOptions::new().with_keys_only()));
        match server.look(Txn::new().and_then(vec![get; number])).await {
            // One less, because a fence nests the transaction in another.
            Ok(_) => return Ok(number - 1),
            Err(error) if error.kind() == Kind::TooLarge => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(super::transaction::strange))
}

/// The shortest lease that the server gives: one and a half times its election timeout.
async fn shortest(server: &Server) -> Result<Duration> {
    let granted = match server.grant(Duration::from_secs(1)).await {
        Ok(granted) => granted,
        // A full server takes no writes and can be read all the same.
        Err(error) if error.kind() == Kind::Exhausted => {
            tracing::warn!(server = server.server(), %error, "the server is full");
            return Ok(SHORTEST);
        }
        Err(error) => return Err(error),
    };
    // Else it ends by itself.
    let _given_back = server.revoke(granted.id()).await;
    let shortest = Duration::from_secs(granted.ttl().unsigned_abs());
    if shortest > SHORTEST {
        tracing::warn!(
            server = server.server(),
            "its election timeout makes leases last {shortest:?} at least, which is too coarse for \
             a time to live"
        );
    }
    Ok(shortest)
}

#[cfg(test)]
mod tests {
    use super::OLDEST;
    use connect::version::admit;

    #[test]
    fn a_server_that_is_too_old_is_refused() {
        for old in ["2.3.8", "3.0.17", "3.2.26", "3.3.27", "3.3.0-rc.4", "3.3.0+git", ""] {
            let refused = admit("etcd h:2379", old, OLDEST).unwrap_err();
            let words = format!("etcd h:2379 is version {old}, and 3.4 is needed");
            assert_eq!(refused.to_string(), words);
        }
        let new = ["3.4.0-rc.4", "3.4.0", "3.4.23", "3.5.0-alpha.0", "3.5.0+git", "3.10.0"];
        for new in new.into_iter().chain(["3.6.0-rc.2", "3.7.0-alpha.0", "4.0.0"]) {
            admit("etcd h:2379", new, OLDEST).unwrap();
        }
    }
}
