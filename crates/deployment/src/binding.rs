//! Names that components open, and the backends behind them.

use crate::keys::NEEDS;
use crate::needs::Needs;
use crate::notes::Placed;
use crate::reader::Reader;
use crate::section::Section;
use crate::settings::{self, Settings};
use crate::source::At;
use base::offer::Ability;
use base::{DEFAULT, Mistake, Secret};
use std::collections::BTreeMap;
use std::path::PathBuf;
use toml::Spanned;
use toml::de::DeValue;

/// A capability as the deployment file sees it: a section of bindings, and who reads one.
///
/// This crate knows no capability. The program hands in its list of them, and says in `choose`
/// what becomes of a binding's settings: `O` is the program's own type, usually an opening of the
/// backend with the contract's type forgotten. It is made while the file is read and handed back
/// in the plan, untouched, once everything was found right.
///
/// ```
/// # use base::{Mistake, backend::{self, Entry, Opening}};
/// # trait Store: Send + Sync {}
/// # const BACKENDS: &[Entry<dyn Store>] = &[];
/// enum Open { KeyValue(Opening<dyn Store>) }
///
/// const KEYVALUE: deployment::Capability<Open> = deployment::Capability {
///     name: "keyvalue",
///     about: "Keys and values.",
///     grant: "keyvalue",
///     default_url: Some("embedded:"),
///     abilities: &[],
///     choose: |settings| {
///         let (backend, opening) = backend::choose(BACKENDS, settings)?;
///         Ok((backend, Open::KeyValue(opening)))
///     },
/// };
/// # use wharf_deployment as deployment;
/// ```
pub struct Capability<O> {
    /// The name of its section, e.g. `keyvalue`.
    pub name: &'static str,
    /// One sentence for the manual.
    pub about: &'static str,
    /// The key of a component that lists what it may open: `keyvalue`, `config-from`.
    pub grant: &'static str,
    /// What stands behind `default` where the file binds nothing to it. Without one there is no
    /// `default`, and a component is granted nothing that it does not name.
    pub default_url: Option<&'static str>,
    /// What a binding may require of its backend.
    pub abilities: &'static [Ability],
    /// Reads the settings of one binding and touches nothing: the backend's name and what the
    /// program needs to open it. See [`base::backend::choose`].
    pub choose: fn(Spanned<DeValue<'_>>) -> Chosen<O>,
}

/// The name of a backend and what the program needs to open it, or what is wrong.
pub type Chosen<O> = Result<(&'static str, O), Mistake>;

/// A bound name.
pub struct Binding<O> {
    /// The capability's name.
    pub capability: &'static str,
    /// The name that components open.
    pub name: String,
    /// The backend's name.
    pub backend: &'static str,
    /// The URL as it may be shown: as written, without its password.
    pub url: String,
    /// The least that the backend has to offer.
    pub needs: Needs,
    /// What the program made of the settings.
    pub opening: O,
    /// Where it stands in the file; `None` for the default that nobody wrote.
    pub at: Option<At>,
    /// The folder of its file, which relative paths in the settings are relative to.
    pub base: PathBuf,
    settings: Secret,
}

impl<O> Binding<O> {
    /// Whether the other has the same name, backend and settings, so that what was opened for it
    /// can serve for this one.
    pub fn is_same<P>(&self, other: &Binding<P>) -> bool {
        (self.capability, &self.name, self.backend, &self.settings)
            == (other.capability, &other.name, other.backend, &other.settings)
    }

    /// The opening, and the rest to remember it by.
    pub fn split(self) -> (O, Binding<()>) {
        let Self { capability, name, backend, url, needs, opening, at, base, settings } = self;
        let opened = ();
        (
            opening,
            Binding { capability, name, backend, url, needs, opening: opened, at, base, settings },
        )
    }
}

/// The bindings of one capability, and every name that was bound, also where the settings are
/// wrong: what was reported once is not missing.
pub(crate) struct Bindings<O> {
    pub(crate) names: BTreeMap<String, Option<At>>,
    pub(crate) bindings: Vec<Binding<O>>,
}

impl<O> Bindings<O> {
    /// The names that are bound.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.names.keys().map(String::as_str).collect()
    }

    /// Reads the capability's section in each of the files.
    pub(crate) fn read(capability: &Capability<O>, roots: &[Section<'_>]) -> Self {
        let mut bindings = Self { names: BTreeMap::new(), bindings: Vec::new() };
        for root in roots {
            for (name, value) in root.entries(capability.name) {
                bindings.names.insert(name.value.to_owned(), Some(name.at.clone()));
                if let Some(binding) = bind(capability, root.reader, &name, value) {
                    bindings.bindings.push(binding);
                }
            }
        }
        bindings
    }

    /// Binds `default` where nobody did.
    ///
    /// # Errors
    /// Why the capability's own default cannot be.
    pub(crate) fn add_default(&mut self, capability: &Capability<O>) -> Result<(), Mistake> {
        let Some(url) = capability.default_url else { return Ok(()) };
        if self.names.contains_key(DEFAULT) {
            return Ok(());
        }
        self.names.insert(DEFAULT.to_owned(), None);
        let settings = DeValue::String(url.into());
        let canonical = settings::canonical(&settings);
        let (backend, opening) = (capability.choose)(Spanned::new(0..0, settings))
            .map_err(|mistake| Mistake { span: None, ..mistake })?;
        self.bindings.push(Binding {
            capability: capability.name,
            name: DEFAULT.to_owned(),
            backend,
            url: url.to_owned(),
            needs: Needs::default(),
            opening,
            at: None,
            base: PathBuf::new(),
            settings: canonical,
        });
        Ok(())
    }
}

fn bind<O>(
    capability: &Capability<O>,
    reader: &Reader<'_>,
    name: &Placed<&str>,
    value: &Spanned<DeValue<'_>>,
) -> Option<Binding<O>> {
    if name.value.is_empty() || name.value.len() > 128 || name.value.contains(char::is_control) {
        reader.mistake(Mistake::at(
            name.span(),
            "a binding's name has 1 to 128 letters, all of them visible",
        ));
    }
    let needs = needs(reader, value, capability.abilities);
    let settings = Settings::new(reader, value);
    let (backend, opening) = settings.choose(capability.choose)?;
    Some(Binding {
        capability: capability.name,
        name: name.value.to_owned(),
        backend,
        url: settings.shown_url(),
        needs,
        opening,
        at: Some(reader.at(value.span())),
        base: reader.base.to_path_buf(),
        settings: settings.canonical(),
    })
}

fn needs(
    reader: &Reader<'_>,
    value: &Spanned<DeValue<'_>>,
    abilities: &'static [Ability],
) -> Needs {
    let Some(requires) = value.get_ref().get("requires") else { return Needs::default() };
    let Some(table) = requires.get_ref().as_table() else {
        reader.expected(requires, "a table");
        return Needs::default();
    };
    let words: Vec<_> = abilities.iter().map(|ability| ability.word).collect();
    Needs::read(&Section::open(reader, table, requires.span(), &NEEDS, &words), abilities)
}
