//! The names that one component may open, and what stands behind each.

use crate::{Error, Result, nearest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name that a component opens where it names none.
pub const DEFAULT: &str = "default";

/// The bindings of one capability as one component sees them.
///
/// A name that the deployment knows but this component was not granted is denied; a name nobody
/// knows is not found. Interfaces tell these two apart (`access-denied`, `no-such-store`).
pub struct Bound<C: ?Sized> {
    granted: BTreeMap<String, Arc<C>>,
    absent: Vec<String>,
    others: Vec<String>,
}

impl<C: ?Sized> Bound<C> {
    /// Bindings from what was granted, and the names that others have.
    pub fn new(
        granted: impl IntoIterator<Item = (String, Arc<C>)>,
        others: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            granted: granted.into_iter().collect(),
            absent: Vec::new(),
            others: others.into_iter().collect(),
        }
    }

    /// Adds names that were granted and could not be opened. Asking for one is no mistake of the
    /// component, so [`find`](Self::find) takes them, but there is nothing to open.
    #[must_use]
    pub fn with_absent(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.absent.extend(names);
        self
    }

    /// What stands behind `name`. The empty name is `default`.
    ///
    /// # Errors
    /// `Denied` if the deployment has the name but this component may not open it, `NotFound` if
    /// nobody has it, `Unavailable` if it could not be opened.
    pub fn open(&self, name: &str) -> Result<&Arc<C>> {
        let name = if name.is_empty() { DEFAULT } else { name };
        if let Some(found) = self.granted.get(name) {
            return Ok(found);
        }
        if self.others.iter().any(|other| other == name) {
            return Err(Error::denied(format!(
                "binding `{name}` is not granted to this component"
            )));
        }
        if self.is_absent(name) {
            return Err(Error::unavailable(format!("binding `{name}` could not be opened")));
        }
        let error = Error::not_found(format!("no binding is named `{name}`"));
        Err(match nearest(name, self.granted.keys().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error,
        })
    }

    fn knows(&self, name: &str) -> bool {
        self.granted.contains_key(name)
            || self.is_absent(name)
            || self.others.iter().any(|other| other == name)
    }

    fn is_absent(&self, name: &str) -> bool {
        self.absent.iter().any(|absent| absent == name)
    }

    /// The name that an import under a label stands for: its external id if the deployment knows
    /// that name, else the label.
    pub fn meant<'a>(&self, label: &'a str, external_id: Option<&'a str>) -> &'a str {
        external_id.filter(|id| self.knows(id)).unwrap_or(label)
    }

    /// Makes sure that the name is granted.
    ///
    /// # Errors
    /// `Denied` and `NotFound` as [`open`](Self::open), with what is granted.
    pub fn find(&self, name: &str) -> Result<()> {
        if self.granted.contains_key(name) || self.is_absent(name) {
            return Ok(());
        }
        let granted: Vec<_> = self.granted.keys().map(|name| format!("`{name}`")).collect();
        let granted = match granted.as_slice() {
            [] => "none is".to_owned(),
            names => format!("granted are {}", names.join(", ")),
        };
        Err(match self.knows(name) {
            true => Error::denied(format!(
                "binding `{name}` is not granted to this component; {granted}"
            )),
            false => Error::not_found(format!("no binding is named `{name}`; {granted}")),
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

    #[test]
    fn what_could_not_be_opened_is_granted_all_the_same() {
        let bound = Bound::<i32>::new([], []).with_absent(["sessions".to_owned()]);
        bound.find("sessions").unwrap();
        assert_eq!(bound.meant("cache", Some("sessions")), "sessions");
        assert_eq!(bound.open("sessions").unwrap_err().kind(), Kind::Unavailable);
    }

    #[test]
    fn a_label_stands_for_the_binding_of_its_external_id_or_its_own_name() {
        let granted = ["default", "sessions"].map(|name| (name.to_owned(), Arc::new(1)));
        let bound = Bound::new(granted, ["orders".to_owned()]);
        assert_eq!(bound.meant("sessions", None), "sessions");
        assert_eq!(bound.meant("cache", Some("sessions")), "sessions");
        assert_eq!(bound.meant("sessions", Some("redis://prod")), "sessions");
        assert_eq!(bound.meant("sessions", Some("orders")), "orders");
        bound.find("sessions").unwrap();
        assert_eq!(bound.find("orders").unwrap_err().kind(), Kind::Denied);
        let unknown = bound.find("cache").unwrap_err();
        assert_eq!(unknown.kind(), Kind::NotFound);
        assert_eq!(
            unknown.to_string(),
            "no binding is named `cache`; granted are `default`, `sessions`"
        );
    }
}
