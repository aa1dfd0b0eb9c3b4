//! What is known of groups: the server keeps a message for each that says its topics, one that says
//! which host has it, and one that says which had it last. Every host hears of every change.

use super::names::Note;
use crate::Filter;
use base::lock;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A host says so often that it has a group.
pub(super) const BEAT: Duration = Duration::from_secs(10);
/// One that has not said so for so long is gone.
const GONE: Duration = Duration::from_secs(35);

/// What is known of the groups of a binding, by their sessions.
#[derive(Default)]
pub(super) struct Notes(Mutex<Told>);

#[derive(Default)]
struct Told {
    all: All,
    /// What is told on a new connection, until that was all.
    anew: Option<All>,
    /// Groups of which somebody said that they are no more.
    forgotten: BTreeSet<String>,
}

#[derive(Default)]
struct All {
    groups: BTreeMap<String, Arc<[Filter]>>,
    holders: HashMap<String, (String, Instant)>,
    users: HashMap<String, String>,
}

impl Notes {
    /// All of it is told anew from now on.
    pub(super) fn begin(&self) {
        lock(&self.0).anew = Some(All::default());
    }

    /// All of it was told.
    pub(super) fn begun(&self) {
        let mut told = lock(&self.0);
        if let Some(anew) = told.anew.take() {
            told.all = anew;
        }
    }

    /// Takes note of what was told.
    pub(super) fn hear(&self, note: Note, session: &str, said: &[u8]) {
        let mut told = lock(&self.0);
        let Told { all, anew, forgotten } = &mut *told;
        let all = anew.as_mut().unwrap_or(all);
        let session = session.to_owned();
        match (note, str::from_utf8(said)) {
            (Note::Group, Ok(text)) if !text.is_empty() => {
                let filters = text.lines().skip(1).map(Filter::parse);
                if let Ok(filters) = filters.collect::<Result<Vec<_>, _>>() {
                    forgotten.remove(&session);
                    all.groups.insert(session, filters.into());
                }
            }
            (Note::Group, _) => {
                all.groups.remove(&session);
                forgotten.insert(session);
            }
            (Note::Holder, Ok(host)) if !host.is_empty() => {
                all.holders.insert(session, (host.to_owned(), Instant::now()));
            }
            (Note::Holder, _) => drop(all.holders.remove(&session)),
            (Note::User, Ok(host)) if !host.is_empty() => {
                all.users.insert(session, host.to_owned());
            }
            (Note::User, _) => drop(all.users.remove(&session)),
        }
    }

    /// What a group covers, if there is one.
    pub(super) fn filters(&self, session: &str) -> Option<Arc<[Filter]>> {
        lock(&self.0).all.groups.get(session).map(Arc::clone)
    }

    /// Whether somebody said that a group is no more.
    pub(super) fn is_forgotten(&self, session: &str) -> bool {
        lock(&self.0).forgotten.contains(session)
    }

    /// The host that has a group, if it is there.
    pub(super) fn holder(&self, session: &str) -> Option<String> {
        let told = lock(&self.0);
        let (host, heard) = told.all.holders.get(session)?;
        (heard.elapsed() < GONE).then(|| host.clone())
    }

    /// The host that had a group last.
    pub(super) fn user(&self, session: &str) -> Option<String> {
        lock(&self.0).all.users.get(session).cloned()
    }

    /// All groups that there are.
    pub(super) fn sessions(&self) -> Vec<String> {
        lock(&self.0).all.groups.keys().cloned().collect()
    }
}

/// A group as it is told: its name for people, and its topics.
pub(super) fn written(name: &str, filters: &[Filter]) -> String {
    let mut text = name.to_owned();
    for filter in filters {
        text.push('\n');
        text.push_str(filter.text());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_known_until_it_is_cleared() {
        let notes = Notes::default();
        let filters = [Filter::parse("a.*").unwrap(), Filter::parse("b").unwrap()];
        notes.hear(Note::Group, "s", written("my group", &filters).as_bytes());
        notes.hear(Note::Holder, "s", b"1f");
        assert_eq!(notes.filters("s").as_deref(), Some(&filters[..]));
        assert_eq!(notes.holder("s").as_deref(), Some("1f"));
        notes.hear(Note::Group, "s", b"g\na..b");
        assert_eq!(notes.filters("s").as_deref(), Some(&filters[..]), "it is no topic");
        assert_eq!(notes.sessions(), ["s"]);
        // On a new connection all of it comes again, and counts once it is complete.
        notes.begin();
        assert_eq!(notes.sessions(), ["s"]);
        notes.hear(Note::Group, "t", b"other\na");
        notes.begun();
        assert_eq!(notes.sessions(), ["t"]);
        assert!(!notes.is_forgotten("s"), "nobody said so");
        notes.hear(Note::Group, "t", b"");
        assert!(notes.is_forgotten("t"));
        assert_eq!((notes.filters("s"), notes.holder("s")), (None, None));
    }
}
