//! A ring on which each server has many points, and a key belongs to the next point.
//!
//! A server that comes or goes moves only the keys of its own points. The points depend on the
//! server's name alone, so that several hosts agree without speaking.

use sha2::{Digest as _, Sha256};

/// How many digests each server has; each makes four points.
const DIGESTS: u32 = 40;

/// Points in their order, and whose each is.
#[derive(Debug, Default)]
pub(crate) struct Ring(Vec<(u64, usize)>);

impl Ring {
    /// The ring of servers with these names.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut points = Vec::new();
        for (server, name) in names.into_iter().enumerate() {
            for number in 0..DIGESTS {
                let digest = Sha256::digest(format!("{name} {number}"));
                points.extend(digest.chunks_exact(8).map(|chunk| (number_of(chunk), server)));
            }
        }
        points.sort_unstable();
        Self(points)
    }

    /// The servers in the order in which they are to be asked for `key`, each perhaps often.
    pub(crate) fn from(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        let start = self.0.partition_point(|(point, _)| *point < key);
        let (before, behind) = self.0.split_at_checked(start).unwrap_or_default();
        behind.iter().chain(before).map(|(_, server)| *server)
    }
}

/// Where on the ring a key lies.
pub(crate) fn hash(key: &[u8]) -> u64 {
    number_of(&Sha256::digest(key))
}

fn number_of(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["a:1", "b:1", "c:1", "d:1", "e:1"];

    fn owner<'a>(ring: &Ring, names: &[&'a str], key: u32) -> &'a str {
        names[ring.from(hash(&key.to_be_bytes())).next().unwrap()]
    }

    #[test]
    fn keys_are_spread_over_all() {
        let ring = Ring::new(NAMES);
        for name in NAMES {
            let mine = (0..10_000).filter(|key| owner(&ring, &NAMES, *key) == name).count();
            assert!((1_200..2_800).contains(&mine), "{name}: {mine}");
        }
    }

    #[test]
    fn who_leaves_takes_only_its_own_keys_along() {
        let (all, less) = (Ring::new(NAMES), ["a:1", "b:1", "d:1", "e:1"]);
        let fewer = Ring::new(less);
        for key in 0..2_000 {
            let before = owner(&all, &NAMES, key);
            let after = owner(&fewer, &less, key);
            assert!(before == after || before == "c:1", "{key}: {before} to {after}");
        }
    }

    #[test]
    fn the_order_in_which_servers_are_named_does_not_count() {
        let (other, turned) = (["e:1", "c:1", "a:1", "d:1", "b:1"], Ring::new(NAMES));
        let ring = Ring::new(other);
        for key in 0..500 {
            assert_eq!(owner(&ring, &other, key), owner(&turned, &NAMES, key));
        }
    }

    #[test]
    fn everybody_is_asked_in_the_end() {
        let ring = Ring::new(NAMES);
        let mut seen: Vec<_> = ring.from(hash(b"x")).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        assert_eq!(Ring::default().from(7).next(), None);
    }
}
