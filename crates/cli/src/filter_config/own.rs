//! What a virtual host or a route has of its own for filters: `typed_per_filter_config`.

use super::data::configuration;
use super::node::{Node, Object};
use super::plugin::{Filter, WASM};
use toml_edit::{Array, InlineTable, Item, Value};

const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";

/// Filters that a route does without, or has with a configuration of its own, by their names here.
#[derive(Clone, Default)]
pub(crate) struct Own(Vec<(String, Option<Value>)>);

/// What is said of one filter.
enum Said {
    Without,
    Configured(Value),
    Nothing,
}

impl Own {
    /// Reads what a virtual host or a route says.
    pub(crate) fn read(of: &Object<'_>, filters: &[Filter]) -> Self {
        let mut own = Vec::new();
        let map = of.object("typed_per_filter_config");
        for (called, node) in map.as_ref().map(Object::rest).unwrap_or_default() {
            let Some(filter) = filters.iter().find(|filter| filter.called == called) else {
                node.left("no filter of Wasm that was carried over is called so");
                continue;
            };
            match said(&node) {
                Said::Without => own.push((filter.name.clone(), None)),
                Said::Configured(value) => own.push((filter.name.clone(), Some(value))),
                Said::Nothing => {}
            }
        }
        Self(own)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a route has that says this itself, within a virtual host that says `wider`.
    #[must_use]
    pub(crate) fn within(mut self, wider: &Self) -> Self {
        let own = &self.0;
        let more = wider.0.iter().filter(|(name, _)| own.iter().all(|(known, _)| known != name));
        let more: Vec<_> = more.cloned().collect();
        self.0.extend(more);
        self
    }

    /// Whether routes with these meet filters in the same way.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let shown = |own: &Self| {
            let mut shown: Vec<_> = own
                .0
                .iter()
                .map(|(name, value)| (name.clone(), value.as_ref().map(ToString::to_string)))
                .collect();
            shown.sort();
            shown
        };
        shown(self) == shown(other)
    }

    /// `filters` of a route, of all that there are.
    pub(crate) fn filters(&self, all: &[Filter]) -> Array {
        let mut filters = Array::new();
        for Filter { name, .. } in all {
            match self.0.iter().find(|(known, _)| known == name) {
                None => filters.push(name),
                Some((_, None)) => {}
                Some((_, Some(configuration))) => {
                    let mut table = InlineTable::new();
                    table.insert("name", name.into());
                    table.insert("configuration", configuration.clone());
                    filters.push(table);
                }
            }
        }
        filters
    }
}

fn said(node: &Node<'_>) -> Said {
    let Some(object) = node.object() else { return Said::Nothing };
    let Some((kind, inner)) = object.any() else {
        object.leave("it does not say of what type it is");
        return Said::Nothing;
    };
    match kind {
        FILTER_CONFIG => {
            inner.skip(&["is_optional"]);
            if inner.truth("disabled") == Some(true) {
                inner.hush();
                return Said::Without;
            }
            inner.take("config").map_or(Said::Nothing, |config| said(&config))
        }
        WASM => of_wasm(&inner),
        kind => {
            inner.hush();
            object.leave(&format!("{kind}: no equivalent"));
            Said::Nothing
        }
    }
}

/// A configuration in the place of the filter's.
fn of_wasm(inner: &Object<'_>) -> Said {
    let Some(config) = inner.object("config") else { return Said::Nothing };
    config.skip(&["name", "root_id"]);
    let item = config.object("configuration").and_then(|it| configuration(&it));
    match item.map(Item::into_value) {
        Some(Ok(value)) => Said::Configured(value),
        _ => Said::Nothing,
    }
}
