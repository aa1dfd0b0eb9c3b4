//! Durations and sizes as people write them: `"30s"`, `"128MiB"`.

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::time::Duration;

/// A number of bytes, written `"128MiB"`, `"64 KiB"`, `"10MB"` or as a bare number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

const SIZES: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(word, _)| *word == unit.trim())?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(*factor)?;
    if part.is_empty() {
        return Some(whole);
    }
    let scale = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part = u128::from(part.parse::<u64>().ok()?) * u128::from(*factor) / u128::from(scale);
    whole.checked_add(u64::try_from(part).ok()?)
}

/// A duration in whole milliseconds, or the most that can be counted.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Size {
    /// The number of bytes, or the most that this machine can count.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl std::str::FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, SIZES)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no size; write for example \"128MiB\""))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1_u64 << 10)] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Text("a size such as \"128MiB\""))
            .and_then(|text| text.parse().map_err(D::Error::custom))
    }
}

/// Reads a duration such as `"30s"`, `"1.5s"`, `"250ms"`, `"2h"`.
///
/// # Errors
/// A sentence that shows how to write one.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse(text, DURATIONS)
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("`{text}` is no duration; write for example \"30s\" or \"250ms\""))
}

/// For `#[serde(deserialize_with = "base::units::deserialize_duration")]`.
///
/// # Errors
/// As [`duration`].
pub fn deserialize_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = from.deserialize_any(Text("a duration such as \"30s\""))?;
    duration(&text).map_err(D::Error::custom)
}

/// A duration as people write it: the largest unit that leaves no rest.
pub fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    DURATIONS
        .iter()
        .rev()
        .find(|(_, factor)| {
            nanos >= u128::from(*factor) && nanos.is_multiple_of(u128::from(*factor))
        })
        .map_or_else(|| "0s".to_owned(), |(unit, f)| format!("{}{unit}", nanos / u128::from(*f)))
}

/// A string, or a bare number as its text.
struct Text(&'static str);

impl Visitor<'_> for Text {
    type Value = String;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_show() {
        let size = |text: &str| text.parse::<Size>();
        assert_eq!(size("128MiB").unwrap().0, 128 << 20);
        assert_eq!(size("1.5 KiB").unwrap().0, 1536);
        assert_eq!(size("7").unwrap().0, 7);
        assert_eq!(size("10MB").unwrap().to_string(), "10000000B");
        assert_eq!(Size(64 << 10).to_string(), "64KiB");
        assert!(size("12 parsecs").is_err() && size("").is_err() && size("-1").is_err());
        assert!(size("99999999999999999999TiB").is_err());
    }

    #[test]
    fn durations_read_and_show() {
        assert_eq!(duration("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(duration("1.5s").unwrap(), Duration::from_millis(1500));
        assert_eq!(show_duration(Duration::from_millis(90_000)), "90s");
        assert_eq!(show_duration(Duration::from_secs(120)), "2m");
        assert!(duration("30").is_err() && duration("s").is_err());
    }
}
