//! Which of the bound names a component may open.

use crate::binding::{Bindings, Capability};
use crate::section::Section;
use base::{DEFAULT, Mistake};
use std::collections::BTreeMap;

/// Reads what a component may open. What it does not name is `default`, where there is one.
pub(crate) fn read<O>(
    component: &Section<'_>,
    capabilities: &[Capability<O>],
    bound: &[Bindings<O>],
) -> BTreeMap<&'static str, Vec<String>> {
    let mut grants = by_default(capabilities);
    for (capability, bound) in capabilities.iter().zip(bound) {
        let Some(names) = component.strings(capability.grant) else { continue };
        let mut granted: Vec<String> = Vec::new();
        for name in names {
            if granted.contains(&name.value) {
                component.mistake(Mistake::at(name.span(), "this name is granted already"));
            } else if !bound.names.contains_key(&name.value) {
                let what = format!("{} binding", capability.name);
                let mut mistake =
                    component.unknown_name(&name.at, &what, &name.value, &bound.names());
                mistake.hint.get_or_insert_with(|| format!("bind it in [{}]", capability.name));
                component.reader.notes.absence(component.reader.file, mistake);
            }
            granted.push(name.value);
        }
        grants.insert(capability.name, granted);
    }
    grants
}

/// What a component may open that does not say anything.
pub(crate) fn by_default<O>(capabilities: &[Capability<O>]) -> BTreeMap<&'static str, Vec<String>> {
    let with_default = capabilities.iter().filter(|capability| capability.default_url.is_some());
    with_default.map(|capability| (capability.name, vec![DEFAULT.to_owned()])).collect()
}
