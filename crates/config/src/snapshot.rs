//! Names and values as of one moment.

use std::collections::BTreeMap;
use std::fmt;

/// Names and values that never change. `Debug` shows the names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Every name and its value, in the order of the names' bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lays `above` over this: where both have a name, the value of `above` is seen.
    pub(crate) fn cover(&mut self, above: &Self) {
        let above = above.0.iter().map(|(key, value)| (key.clone(), value.clone()));
        self.0.extend(above);
    }
}

impl FromIterator<(String, String)> for Snapshot {
    /// Of a name that comes twice, the last value.
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_names_and_no_values() {
        let snapshot: Snapshot =
            [("password".to_owned(), "hunter2".to_owned())].into_iter().collect();
        assert_eq!(format!("{snapshot:?}"), r#"{"password"}"#);
    }
}
