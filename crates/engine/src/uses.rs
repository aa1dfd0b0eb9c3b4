//! What a component's imports ask of a backend, and how an open one does it: the table of `check`.

use crate::Imports;
use base::offer::{Emulated, Gap};
use std::fmt;

/// One function that a component calls, and how a backend does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The interface and the function: `store.bucket.get`.
    pub function: String,
    /// How.
    pub how: How,
}

/// How a backend does what a function asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// As the backend itself does it.
    Native,
    /// This program does it with what the backend has: so.
    Emulated(String),
    /// Not at all.
    Missing(Gap),
}

impl How {
    /// How a backend does what needs an `ability`: not at all where its offer has a gap, else as it
    /// says of what it emulates.
    pub fn of(gaps: Vec<Gap>, emulated: &[Emulated], ability: &str) -> Self {
        if let Some(gap) = gaps.into_iter().next() {
            return Self::Missing(gap);
        }
        let emulated = emulated.iter().find(|emulated| emulated.ability == ability);
        emulated.map_or(Self::Native, |emulated| Self::Emulated(emulated.how.to_owned()))
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Emulated(how) => write!(f, "emulated: {how}"),
            Self::Missing(gap) => write!(f, "missing: {gap}"),
        }
    }
}

/// Every function of these interfaces that `imports` has, with what `how` says of an interface and
/// its function: `bucket.get` for a method or what makes a resource.
pub fn called(
    imports: &Imports,
    interfaces: &[&str],
    how: impl Fn(&str, &str) -> Option<How>,
) -> Vec<Use> {
    let mut uses = Vec::new();
    for id in interfaces {
        let interface = id.rsplit_once('/').map_or(*id, |(_, interface)| interface);
        let interface = interface.split('@').next().unwrap_or(interface);
        for function in imports.functions(id) {
            // `[method]bucket.get`, `[static]cas.new`.
            let function = function.rsplit_once(']').map_or(function, |(_, name)| name);
            if let Some(how) = how(id, function) {
                uses.push(Use { function: format!("{interface}.{function}"), how });
            }
        }
    }
    uses.sort_by(|one, other| one.function.cmp(&other.function));
    uses.dedup();
    uses
}
