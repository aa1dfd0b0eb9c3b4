//! Which bindings are opened, and whether their backends do what the file requires.

use super::problems::Problems;
use super::{App, Open};
use crate::beside::beside;
use crate::capabilities::{self, Opened, ToOpen};
use base::offer::{self, Gap, Watch};
use base::{Error, Place, Result};
use deployment::{At, Binding, Needs};
use engine::{Capability as _, How, Name, Source};
use keyvalue::Levels;
use keyvalue::host::KeyValue;
use messaging::host::Messaging;
use std::path::PathBuf;
use std::sync::Arc;

/// The bindings of an app.
#[derive(Default)]
pub(super) struct Bindings {
    /// Those that are open.
    pub(super) open: Vec<Open>,
    /// Capability and name of those that could not be opened, which was reported.
    absent: Vec<(&'static str, String)>,
}

impl Bindings {
    /// The names of a capability's bindings that could not be opened.
    pub(super) fn absent(&self, capability: &str) -> impl Iterator<Item = &String> {
        let of = move |(other, _): &&(&'static str, String)| *other == capability;
        self.absent.iter().filter(of).map(|(_, name)| name)
    }
}

/// What each component imports, by the surface of its file.
pub(super) async fn imports(app: &deployment::App) -> Result<Vec<Vec<Name>>> {
    let files: Vec<_> = app.components.iter().map(|component| component.source.clone()).collect();
    // A file that cannot be read has no imports, and is reported when it is loaded.
    let outline = |file: PathBuf| {
        Source::read(&file).map(|source| source.outline().imports).unwrap_or_default()
    };
    beside(move || Ok(files.into_iter().map(outline).collect())).await
}

/// Which bindings are opened: every one that the file names, and of the implicit ones those that
/// some component imports the interfaces of. What nobody asked for makes no file and takes no lock.
pub(super) fn needed(
    app: &deployment::App,
    imports: &[Vec<Name>],
    binding: &Binding<ToOpen>,
) -> bool {
    let asked = app.components.iter().zip(imports).any(|(component, imports)| {
        component.granted(binding.capability).contains(&binding.name)
            && imports.iter().any(|import| capabilities::is_of(binding.capability, import.id()))
    });
    let watched = || app.watches.iter().any(|watch| watch.binding == binding.name);
    let shared = || {
        let is = |name: &String| KeyValue::NAME == binding.capability && *name == binding.name;
        app.filters.iter().any(|filter| filter.shared_data.as_ref().is_some_and(is))
    };
    let subscribed = || {
        let is = |it: &deployment::Subscribe| it.binding == binding.name;
        binding.capability == Messaging::NAME && app.subscriptions.iter().any(is)
    };
    binding.at.is_some() || asked || watched() || shared() || subscribed()
}

/// Opens bindings, and adds those that cannot be opened to the problems.
pub(super) async fn open(
    bindings: Vec<Binding<ToOpen>>,
    app: &deployment::App,
    earlier: Option<&App>,
    problems: &mut Problems,
) -> Bindings {
    let mut all = Bindings::default();
    for binding in bindings {
        let (capability, name) = (binding.capability, binding.name.clone());
        match open_one(binding, app, earlier).await {
            Ok(opened) => all.open.push(opened),
            Err((at, error)) => {
                problems.add(at.as_ref(), error);
                all.absent.push((capability, name));
            }
        }
    }
    all
}

/// Opens a binding, or takes what an earlier file opened with the same settings.
async fn open_one(
    binding: Binding<ToOpen>,
    app: &deployment::App,
    earlier: Option<&App>,
) -> Result<Open, (Option<At>, Error)> {
    if let Some(earlier) = earlier
        && let Some(same) = earlier.bindings.iter().find(|open| binding.is_same(&open.of))
        && earlier.plan.data == app.data
        && earlier.plan.name == app.name
    {
        return Ok(same.clone());
    }
    let (opening, binding) = binding.split();
    let place = Place {
        base: binding.base.clone(),
        data: app.data.clone(),
        app: app.name.clone(),
        capability: binding.capability,
        binding: binding.name.clone(),
    };
    let context =
        format!("{} binding `{}` ({})", binding.capability, binding.name, binding.backend);
    let opened = opening.open(place).await.and_then(|opened| {
        refuse_gaps(&opened, &binding)?;
        Ok(opened)
    });
    match opened {
        Ok(opened) => Ok(Open { of: Arc::new(binding), opened }),
        Err(error) => Err((binding.at, error.context(context))),
    }
}

/// What the file requires of a binding, against what its backend offers.
fn refuse_gaps(opened: &Opened, binding: &Binding<()>) -> Result<()> {
    let needs = &binding.needs;
    match opened {
        Opened::KeyValue(store) => required(needs, &store.offer().levels, keyvalue::that_offer),
        Opened::Cache(cache) => required(needs, &cache.offer().levels, cache::that_offer),
        Opened::Messaging(broker) => required(needs, &broker.offer().levels, messaging::that_offer),
        Opened::Config(_) => Ok(()),
    }
}

/// Refuses a backend that lacks something, with those that would do.
fn required<L: offer::Levels + Default>(
    required: &Needs,
    has: &L,
    others: fn(&L) -> Vec<&'static str>,
) -> Result<()> {
    let mut needs = L::default();
    for (ability, level) in required.iter() {
        // They were read by the capability's own words.
        needs.require(ability, level).map_err(Error::internal)?;
    }
    match has.gaps(&needs).as_slice() {
        [] => Ok(()),
        gaps => Err(others_do(short("it", gaps), &others(&needs))),
    }
}

/// What a component's functions and the watches ask of the stores that they use, against what
/// those offer.
pub(super) fn unmet(app: &App, problems: &mut Problems) {
    let stores = || {
        app.bindings.iter().filter_map(|open| match &open.opened {
            Opened::KeyValue(store) => Some((&open.of, store)),
            Opened::Cache(_) | Opened::Messaging(_) | Opened::Config(_) => None,
        })
    };
    unmet_by_brokers(app, problems);
    for component in &app.plan.components {
        let Some(loaded) = app.guests.get(&component.name) else { continue };
        let granted = component.granted(KeyValue::NAME);
        for (of, store) in stores().filter(|(of, _)| granted.contains(&of.name)) {
            for used in keyvalue::host::uses(loaded.guest.imports(), store.offer()) {
                let How::Missing(gap) = used.how else { continue };
                let who = format!(
                    "component `{}` calls `{}`, for which keyvalue binding `{}` ({})",
                    component.name,
                    used.function,
                    of.name,
                    store.offer().backend
                );
                let error = lacks(&who, &[gap], &keyvalue::host::needs(&used.function));
                problems.add(component.source_at.as_ref().or(component.at.as_ref()), error);
            }
        }
    }
    let needs = Levels { watch: Watch::BestEffort, ..Levels::LOWEST };
    for watch in &app.plan.watches {
        let store = stores().find(|(of, _)| of.name == watch.binding);
        let Some((of, store)) = store else { continue };
        let gaps = store.offer().levels.gaps(&needs);
        if !gaps.is_empty() {
            let who = format!(
                "component `{}` watches keyvalue binding `{}` ({}), which",
                watch.component,
                of.name,
                store.offer().backend
            );
            problems.add(Some(&watch.at), lacks(&who, &gaps, &needs));
        }
    }
}

/// The same of brokers, and what subscriptions ask of them.
fn unmet_by_brokers(app: &App, problems: &mut Problems) {
    let brokers = || {
        app.bindings.iter().filter_map(|open| match &open.opened {
            Opened::Messaging(broker) => Some((&open.of, broker)),
            _ => None,
        })
    };
    for component in &app.plan.components {
        let Some(loaded) = app.guests.get(&component.name) else { continue };
        let granted = component.granted(Messaging::NAME);
        for (of, broker) in brokers().filter(|(of, _)| granted.contains(&of.name)) {
            for used in messaging::host::uses(loaded.guest.imports(), broker.offer()) {
                let How::Missing(gap) = used.how else { continue };
                let who = format!(
                    "component `{}` calls `{}`, for which messaging binding `{}` ({})",
                    component.name,
                    used.function,
                    of.name,
                    broker.offer().backend
                );
                let others = messaging::that_offer(&messaging::host::needs(&used.function));
                let error = others_do(short(&who, &[gap]), &others);
                problems.add(component.source_at.as_ref().or(component.at.as_ref()), error);
            }
        }
    }
    for subscribe in &app.plan.subscriptions {
        let broker = brokers().find(|(of, _)| of.name == subscribe.binding);
        let Some((of, broker)) = broker else { continue };
        let needs = crate::triggers::needs(subscribe);
        let gaps = broker.offer().levels.gaps(&needs);
        if !gaps.is_empty() {
            let who = format!(
                "component `{}` subscribes to messaging binding `{}` ({}), which",
                subscribe.component,
                of.name,
                broker.offer().backend
            );
            let error = others_do(short(&who, &gaps), &messaging::that_offer(&needs));
            problems.add(Some(&subscribe.at), error);
        }
    }
}

fn lacks(who: &str, gaps: &[Gap], needs: &Levels) -> Error {
    others_do(short(who, gaps), &keyvalue::that_offer(needs))
}

/// Adds which backends would do.
fn others_do(error: Error, others: &[&str]) -> Error {
    error.with_hint(match others.is_empty() {
        true => "no backend offers all of it".to_owned(),
        false => format!("backends that can offer it: {}", others.join(", ")),
    })
}

fn short(who: &str, gaps: &[Gap]) -> Error {
    let gaps: Vec<String> = gaps.iter().map(ToString::to_string).collect();
    Error::unsupported(format!("{who} lacks {}", gaps.join(", ")))
}

#[cfg(test)]
mod tests;
