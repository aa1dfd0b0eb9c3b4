//! The names that one component may open, and what stands behind each.

use crate::{Error, Result, nearest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The bindings of one capability as one component sees them.
///
/// A name that the deployment knows but this component was not granted is denied; a name nobody
/// knows is not found. Interfaces tell these two apart (`access-denied`, `no-such-store`).
pub struct Bound<C: ?Sized> {
    granted: BTreeMap<String, Arc<C>>,
    others: Vec<String>,
}

impl<C: ?Sized> Bound<C> {
    /// Bindings from what was granted, and the names that others have.
    pub fn new(
        granted: impl IntoIterator<Item = (String, Arc<C>)>,
        others: impl IntoIterator<Item = String>,
    ) -> Self {
        Self { granted: granted.into_iter().collect(), others: others.into_iter().collect() }
    }

    /// What stands behind `name`. The empty name is `default`.
    ///
    /// # Errors
    /// `Denied` if the deployment has the name but this component may not open it, `NotFound` if
    /// nobody has it.
    pub fn open(&self, name: &str) -> Result<&Arc<C>> {
        let name = if name.is_empty() { "default" } else { name };
        if let Some(found) = self.granted.get(name) {
            return Ok(found);
        }
        if self.others.iter().any(|other| other == name) {
            return Err(Error::denied(format!(
                "binding `{name}` is not granted to this component"
            )));
        }
        let error = Error::not_found(format!("no binding is named `{name}`"));
        Err(match nearest(name, self.granted.keys().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error,
        })
    }

    /// The granted names and what stands behind each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<C>)> {
        self.granted.iter().map(|(name, found)| (name.as_str(), found))
    }
}

impl<C: ?Sized> Default for Bound<C> {
    fn default() -> Self {
        Self::new([], [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn denied_and_unknown_are_told_apart() {
        let bound = Bound::new([("default".to_owned(), Arc::new(1))], ["sessions".to_owned()]);
        assert_eq!(**bound.open("").unwrap(), 1);
        assert_eq!(bound.open("sessions").unwrap_err().kind(), Kind::Denied);
        assert_eq!(bound.open("nope").unwrap_err().kind(), Kind::NotFound);
    }
}
