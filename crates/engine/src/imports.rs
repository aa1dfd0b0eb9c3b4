//! What a component imports, and which of it Wharf serves.

use base::nearest;
use std::fmt;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, types};

/// The standard interfaces that the engine itself adds to every component.
pub const WASI: &[&str] = &[
    "wasi:cli/environment@0.2.12",
    "wasi:cli/exit@0.2.12",
    "wasi:cli/stderr@0.2.12",
    "wasi:cli/stdin@0.2.12",
    "wasi:cli/stdout@0.2.12",
    "wasi:cli/terminal-input@0.2.12",
    "wasi:cli/terminal-output@0.2.12",
    "wasi:cli/terminal-stderr@0.2.12",
    "wasi:cli/terminal-stdin@0.2.12",
    "wasi:cli/terminal-stdout@0.2.12",
    "wasi:clocks/monotonic-clock@0.2.12",
    "wasi:clocks/wall-clock@0.2.12",
    "wasi:filesystem/preopens@0.2.12",
    "wasi:filesystem/types@0.2.12",
    "wasi:io/error@0.2.12",
    "wasi:io/poll@0.2.12",
    "wasi:io/streams@0.2.12",
    "wasi:random/insecure-seed@0.2.12",
    "wasi:random/insecure@0.2.12",
    "wasi:random/random@0.2.12",
    "wasi:sockets/instance-network@0.2.12",
    "wasi:sockets/ip-name-lookup@0.2.12",
    "wasi:sockets/network@0.2.12",
    "wasi:sockets/tcp-create-socket@0.2.12",
    "wasi:sockets/tcp@0.2.12",
    "wasi:sockets/udp-create-socket@0.2.12",
    "wasi:sockets/udp@0.2.12",
    "wasi:cli/environment@0.3.0",
    "wasi:cli/exit@0.3.0",
    "wasi:cli/stderr@0.3.0",
    "wasi:cli/stdin@0.3.0",
    "wasi:cli/stdout@0.3.0",
    "wasi:cli/terminal-input@0.3.0",
    "wasi:cli/terminal-output@0.3.0",
    "wasi:cli/terminal-stderr@0.3.0",
    "wasi:cli/terminal-stdin@0.3.0",
    "wasi:cli/terminal-stdout@0.3.0",
    "wasi:cli/types@0.3.0",
    "wasi:clocks/monotonic-clock@0.3.0",
    "wasi:clocks/system-clock@0.3.0",
    "wasi:clocks/types@0.3.0",
    "wasi:filesystem/preopens@0.3.0",
    "wasi:filesystem/types@0.3.0",
    "wasi:random/insecure-seed@0.3.0",
    "wasi:random/insecure@0.3.0",
    "wasi:random/random@0.3.0",
    "wasi:sockets/ip-name-lookup@0.3.0",
    "wasi:sockets/types@0.3.0",
];

/// The name under which something is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its whole name, e.g. `wasi:keyvalue/store@0.2.0-draft2`, or a label of the component's own.
    pub name: String,
    /// Under a label: the interface that is meant, `(implements "…")`.
    pub implements: Option<String>,
    /// What the component says the host should put behind it, `(external-id "…")`.
    pub external_id: Option<String>,
}

impl Name {
    /// A name that is no label.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), implements: None, external_id: None }
    }

    /// The interface or function, whatever label it has.
    pub fn id(&self) -> &str {
        self.implements.as_deref().unwrap_or(&self.name)
    }

    /// Whether the name is a label.
    pub fn is_label(&self) -> bool {
        self.implements.is_some()
    }
}

impl fmt::Display for Name {
    /// As the interface language writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.implements {
            Some(interface) => write!(f, "{}: {interface}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// One interface or function that a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// What it is called.
    pub name: Name,
    /// The functions that the component calls; for a bare function its own name.
    pub functions: Vec<String>,
    /// The resources that it has handles to.
    pub resources: Vec<String>,
    /// Whether one of the functions is async: calls of it may overlap.
    pub overlaps: bool,
}

impl Import {
    /// Whether it asks for anything: types alone do not.
    pub fn asks(&self) -> bool {
        !self.functions.is_empty() || !self.resources.is_empty()
    }
}

/// Everything that a component imports.
#[derive(Clone, Debug, Default)]
pub struct Imports(Vec<Import>);

/// The ids of the interfaces that a host serves.
#[derive(Clone, Debug, Default)]
pub struct Served<'a> {
    /// Under their own names.
    pub plain: Vec<&'a str>,
    /// Those of them that are served under labels too.
    pub labelled: Vec<&'a str>,
}

/// An import that nobody serves, and what comes nearest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// The import's name.
    pub name: Name,
    /// Why, and what there is instead.
    pub hint: String,
}

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not served ({})", self.name, self.hint)
    }
}

impl Imports {
    /// Reads a component's type.
    pub fn of(component: &Component) -> Self {
        let engine = component.engine();
        let ty = component.component_type();
        let imports = ty.imports(engine).map(|(name, item)| {
            let overlaps = overlaps(&item.ty, engine);
            let (functions, resources) = match item.ty {
                ComponentItem::ComponentInstance(instance) => asked(&instance, engine),
                ComponentItem::ComponentFunc(_) => (vec![name.to_owned()], Vec::new()),
                _ => (Vec::new(), Vec::new()),
            };
            let name = Name {
                name: name.to_owned(),
                implements: item.implements.map(str::to_owned),
                external_id: item.external_id.map(str::to_owned),
            };
            Import { name, functions, resources, overlaps }
        });
        Self(imports.collect())
    }

    /// The imports in the component's order.
    pub fn iter(&self) -> impl Iterator<Item = &Import> {
        self.0.iter()
    }

    /// Whether the component imports the interface `id` under its own name, at this or a
    /// compatible version.
    pub fn wants(&self, id: &str) -> bool {
        self.0.iter().any(|import| !import.name.is_label() && compatible(&import.name.name, id))
    }

    /// Whether the component imports an interface `id` with a function that is async.
    pub fn overlap(&self, id: &str) -> bool {
        let mut found = self.0.iter().filter(|import| compatible(import.name.id(), id));
        found.any(|import| import.overlaps)
    }

    /// The labels under which the component imports the interface `id`, at this or a compatible
    /// version.
    pub fn labels(&self, id: &str) -> impl Iterator<Item = &Name> {
        let names = self.0.iter().map(|import| &import.name).filter(|name| name.is_label());
        names.filter(move |name| compatible(name.id(), id))
    }

    /// The functions of interface `id` that the component imports, under whatever name.
    pub fn functions(&self, id: &str) -> impl Iterator<Item = &str> {
        let found = self.0.iter().filter(move |import| compatible(import.name.id(), id));
        found.flat_map(|import| import.functions.iter().map(String::as_str))
    }

    /// Every import that is not among `served`, with what comes nearest.
    pub fn unserved(&self, served: &Served<'_>) -> Vec<Unserved> {
        let asked = self.0.iter().filter(|import| import.asks());
        asked.filter_map(|import| unserved(&import.name, served)).collect()
    }
}

/// What comes nearest to an import that is not among `served`; `None` if it is served.
pub fn unserved(name: &Name, served: &Served<'_>) -> Option<Unserved> {
    let is_in = |ids: &[&str]| ids.iter().any(|id| compatible(name.id(), id));
    let hint = match is_in(&served.plain) {
        false => hint(name.id(), &served.plain),
        true if name.is_label() && !is_in(&served.labelled) => {
            "it is served under its own name, and not under labels".to_owned()
        }
        true => return None,
    };
    Some(Unserved { name: name.clone(), hint })
}

/// Whether a function is async, or one of an interface's.
pub(crate) fn overlaps(item: &ComponentItem, engine: &wasmtime::Engine) -> bool {
    match item {
        ComponentItem::ComponentFunc(function) => function.async_(),
        ComponentItem::ComponentInstance(interface) => {
            interface.exports(engine).any(|(_, item)| overlaps(&item.ty, engine))
        }
        _ => false,
    }
}

/// The functions and the resources of an interface.
fn asked(
    interface: &types::ComponentInstance,
    engine: &wasmtime::Engine,
) -> (Vec<String>, Vec<String>) {
    let (mut functions, mut resources) = (Vec::new(), Vec::new());
    for (name, item) in interface.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => functions.push(name.to_owned()),
            ComponentItem::Resource(_) => resources.push(name.to_owned()),
            _ => {}
        }
    }
    (functions, resources)
}

/// Splits `ns:package/interface@version`.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('@') {
        Some((interface, version)) => (interface, Some(version)),
        None => (name, None),
    }
}

/// Whether a host's `served` satisfies an `asked`: the same name, or the same interface at a
/// released version of the same line (`0.2.x`, `1.x`). Drafts and candidates match exactly.
fn compatible(asked: &str, served: &str) -> bool {
    if asked == served {
        return true;
    }
    let ((asked, asked_version), (served, served_version)) = (split(asked), split(served));
    let line = |version: Option<&str>| {
        let version = semver::Version::parse(version?).ok()?;
        match version {
            _ if !version.pre.is_empty() => None,
            semver::Version { major: 0, minor: 0, patch, .. } => Some((0, 0, patch)),
            semver::Version { major: 0, minor, .. } => Some((0, minor, 0)),
            semver::Version { major, .. } => Some((major, 0, 0)),
        }
    };
    asked == served && line(asked_version).is_some() && line(asked_version) == line(served_version)
}

fn hint(name: &str, served: &[&str]) -> String {
    let (interface, _) = split(name);
    let versions: Vec<_> = served
        .iter()
        .filter(|id| split(id).0 == interface)
        .map(|id| split(id).1.unwrap_or("no version"))
        .collect();
    if !versions.is_empty() {
        return format!("served at {}", versions.join(", "));
    }
    let near = nearest(interface, served.iter().map(|id| split(id).0));
    let package = || {
        let (package, _) = interface.split_once('/')?;
        served.iter().map(|id| split(id).0).find(|id| id.split('/').next() == Some(package))
    };
    match near.or_else(package) {
        Some(near) => format!("the nearest that is served is `{near}`"),
        None => "nothing of that package is served".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compatible_within_a_line_and_drafts_only_with_themselves() {
        assert!(compatible("wasi:io/poll@0.2.3", "wasi:io/poll@0.2.12"));
        assert!(compatible("wasi:http/types@0.3.2", "wasi:http/types@0.3.0"));
        assert!(!compatible("wasi:io/poll@0.3.0", "wasi:io/poll@0.2.12"));
        assert!(!compatible("wasi:k/s@0.2.0-draft", "wasi:k/s@0.2.0-draft2"));
        assert!(!compatible("wasi:k/s@0.2.0", "wasi:k/s@0.2.0-draft"));
        assert!(compatible("wasi:logging/logging", "wasi:logging/logging"));
    }

    #[test]
    fn labels_are_served_where_the_interface_is_and_says_so() {
        let served =
            Served { plain: vec!["a:b/c@1.0.0", "a:b/d@1.0.0"], labelled: vec!["a:b/c@1.0.0"] };
        let label = |implements: &str| Name {
            implements: Some(implements.to_owned()),
            ..Name::new("sessions")
        };
        assert_eq!(unserved(&label("a:b/c@1.2.0"), &served), None);
        let missing = unserved(&label("a:b/d@1.0.0"), &served).unwrap().to_string();
        assert_eq!(
            missing,
            "`sessions: a:b/d@1.0.0` is not served (it is served under its own name, and not \
             under labels)"
        );
        assert!(unserved(&label("a:b/e@1.0.0"), &served).unwrap().hint.contains("nearest"));
        assert!(unserved(&Name::new("a:b/d@1.0.0"), &served).is_none());
    }

    #[test]
    fn a_missing_import_is_told_what_is_near() {
        let served = &["wasi:keyvalue/store@0.2.0-draft", "wasi:keyvalue/store@0.2.0-draft2"];
        let hint = |name| hint(name, served);
        assert_eq!(hint("wasi:keyvalue/store@0.2.0"), "served at 0.2.0-draft, 0.2.0-draft2");
        assert!(hint("wasi:keyvalue/stor@1.0.0").ends_with("`wasi:keyvalue/store`"));
        assert_eq!(hint("acme:rockets/launch"), "nothing of that package is served");
    }
}
