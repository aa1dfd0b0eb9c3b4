//! Names that components open, and the backends behind them.

use crate::expand::{self, Expansion};
use crate::keys::NEEDS;
use crate::needs::Needs;
use crate::notes::Placed;
use crate::reader::Reader;
use crate::section::Section;
use crate::source::At;
use base::{Mistake, Secret};
use std::collections::BTreeMap;
use std::fmt::Write;
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
    /// Reads the settings of one binding and touches nothing: the backend's name and what the
    /// program needs to open it. See [`base::backend::choose`].
    pub choose: fn(Spanned<DeValue<'_>>) -> Result<(&'static str, O), Mistake>,
}

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
        let Self { capability, name, backend, url, needs, opening, at, settings } = self;
        (opening, Binding { capability, name, backend, url, needs, opening: (), at, settings })
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
        let canonical = Secret::new(canonical(&settings));
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
            settings: canonical,
        });
        Ok(())
    }
}

/// The name that a component opens where it names none.
pub(crate) const DEFAULT: &str = "default";

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
    let needs = needs(reader, value);
    let mut settings = value.clone();
    if let DeValue::Table(table) = settings.get_mut() {
        table.remove("requires");
    }
    let mut expansions = Vec::new();
    collect(reader, &settings, &mut expansions);
    let url = shown_url(reader, &settings);
    let canonical = Secret::new(canonical(settings.get_ref()));
    if expansions.iter().any(|expansion| expansion.broken) {
        return None;
    }
    let (backend, opening) = choose(capability, reader, settings, &expansions)?;
    Some(Binding {
        capability: capability.name,
        name: name.value.to_owned(),
        backend,
        url,
        needs,
        opening,
        at: Some(reader.at(value.span())),
        settings: canonical,
    })
}

/// Reads the settings. A backend reports one mistake at a time; what it says of unknown keys is
/// taken out of its way, so that all of them are reported together.
fn choose<O>(
    capability: &Capability<O>,
    reader: &Reader<'_>,
    mut settings: Spanned<DeValue<'_>>,
    expansions: &[&Expansion],
) -> Option<(&'static str, O)> {
    let mut right = true;
    loop {
        let mut mistake = match (capability.choose)(settings.clone()) {
            Ok(chosen) => return right.then_some(chosen),
            Err(mistake) => mistake,
        };
        right = false;
        let field = unknown_field(&mut mistake);
        let mistake = expand::withhold(mistake, expansions);
        let span = mistake.span.clone().unwrap_or_else(|| settings.span());
        reader.mistake(Mistake { span: Some(span), ..mistake });
        let DeValue::Table(table) = settings.get_mut() else { return None };
        table.remove(field?.as_str())?;
    }
}

/// The field that a mistake of serde calls unknown. Makes the mistake name the nearest one.
fn unknown_field(mistake: &mut Mistake) -> Option<String> {
    let mut words = mistake.message.split('`').skip(1).step_by(2).map(str::to_owned);
    let field = words.next().filter(|_| mistake.message.starts_with("unknown field"))?;
    let known: Vec<String> = words.chain(["requires".to_owned()]).collect();
    let known = known.iter().map(String::as_str);
    *mistake =
        Mistake { span: mistake.span.clone(), ..Mistake::unknown(0..0, "key", &field, known) };
    Some(field)
}

fn needs(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Needs {
    let Some(requires) = value.get_ref().get("requires") else { return Needs::default() };
    let Some(table) = requires.get_ref().as_table() else {
        reader.expected(requires, "a table");
        return Needs::default();
    };
    Needs::read(&Section::open(reader, table, requires.span(), &NEEDS, &[]))
}

fn collect<'a>(
    reader: &'a Reader<'_>,
    value: &Spanned<DeValue<'_>>,
    found: &mut Vec<&'a Expansion>,
) {
    match value.get_ref() {
        DeValue::String(_) => found.extend(reader.expansions.get(&value.span().start)),
        DeValue::Array(array) => array.iter().for_each(|value| collect(reader, value, found)),
        DeValue::Table(table) => table.values().for_each(|value| collect(reader, value, found)),
        _ => {}
    }
}

/// The URL as it was written, without its password.
fn shown_url(reader: &Reader<'_>, settings: &Spanned<DeValue<'_>>) -> String {
    let url = match settings.get_ref() {
        DeValue::Table(table) => table.get("url"),
        _ => Some(settings),
    };
    let Some((text, url)) = url.and_then(|url| Some((url.get_ref().as_str()?, url))) else {
        return String::new();
    };
    let expansion = reader.expansions.get(&url.span().start);
    base::redact(expansion.map_or(text, |expansion| &expansion.written))
}

/// The same text for the same settings, wherever they stand.
fn canonical(value: &DeValue<'_>) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &DeValue<'_>, to: &mut String) {
    // Writing to a string cannot fail.
    _ = match value {
        DeValue::String(text) => write!(to, "{text:?}"),
        DeValue::Integer(number) => write!(to, "{number}"),
        DeValue::Float(number) => write!(to, "{number}"),
        DeValue::Boolean(truth) => write!(to, "{truth}"),
        DeValue::Datetime(time) => write!(to, "{time}"),
        DeValue::Array(array) => {
            to.push('[');
            for value in array {
                write_canonical(value.get_ref(), to);
                to.push(',');
            }
            to.write_char(']')
        }
        DeValue::Table(table) => {
            to.push('{');
            for (key, value) in table {
                let key: &str = key.get_ref();
                _ = write!(to, "{key:?}=");
                write_canonical(value.get_ref(), to);
                to.push(',');
            }
            to.write_char('}')
        }
    };
}
