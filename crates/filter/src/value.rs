//! Values of properties, in the form in which filters read them.

use crate::pairs;
use bytes::Bytes;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A value of a property.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text or bytes, as they are.
    Bytes(Bytes),
    /// A number.
    Int(i64),
    /// A number.
    Uint(u64),
    /// A number.
    Double(f64),
    /// Yes or no.
    Bool(bool),
    /// A moment.
    Time(SystemTime),
    /// A length of time.
    Duration(Duration),
    /// Names and values.
    Map(Vec<(Bytes, Bytes)>),
    /// Values without names.
    List(Vec<Bytes>),
}

impl Value {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Bytes(Bytes::from(text.into()))
    }

    /// The form in a filter's memory: numbers in 8 bytes, the lowest first, times in nanoseconds.
    pub fn to_bytes(&self) -> Bytes {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let number = |bytes: [u8; 8]| Bytes::copy_from_slice(&bytes);
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Int(value) => number(value.to_le_bytes()),
            Self::Uint(value) => number(value.to_le_bytes()),
            Self::Double(value) => number(value.to_le_bytes()),
            Self::Bool(value) => Bytes::copy_from_slice(&[u8::from(*value)]),
            Self::Time(time) => {
                number(nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default()).to_le_bytes())
            }
            Self::Duration(time) => number(nanos(*time).to_le_bytes()),
            Self::Map(map) => {
                pairs::to_bytes(|| map.iter().map(|(key, value)| (&key[..], &value[..])))
            }
            Self::List(list) => pairs::to_bytes(|| list.iter().map(|item| (&item[..], &[][..]))),
        }
    }
}
