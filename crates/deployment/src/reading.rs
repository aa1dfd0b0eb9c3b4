//! From files to a plan: the order in which everything is read.

use crate::binding::{Binding, Bindings, Capability};
use crate::component::{self, check_name, name_from, no_directory};
use crate::expand::{self, Expansions, Lookup};
use crate::input::{FILE, Input, Loaded, load};
use crate::keys::{APP, LOG, OVERLAY, SECRETS};
use crate::notes::Notes;
use crate::plan::{App, Component, Http, Log, LogFormat, Plan};
use crate::reader::Reader;
use crate::report::{Report, Severity};
use crate::secrets::Secrets;
use crate::section::Section;
use crate::text::Text;
use crate::{document, filter, grants, http, subscribe, tcp, triggers, upstream, warnings};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// The one capability that `[[watch]]` and shared data of filters are about.
pub(crate) const WATCHED: &str = "keyvalue";

/// The one capability that `[[subscribe]]` is about.
pub(crate) const SUBSCRIBED: &str = "messaging";

/// The directory of embedded data where the file names none.
const DATA: &str = ".wharf";

/// Reads a deployment and checks all of it. Opens no backend and compiles no component.
///
/// # Errors
/// Every mistake of every file, in their order.
pub fn read<O>(input: &Input<'_>, capabilities: &[Capability<O>]) -> Result<Plan<O>, Report> {
    let notes = Notes::default();
    let loaded = load(input, &notes);
    let sources = Arc::clone(&loaded.sources);
    let read = if notes.is_fine() { assemble(input, capabilities, &loaded, &notes) } else { None };
    let fine = notes.is_fine();
    // While there are mistakes, warnings are mostly what follows from them.
    let mut findings = notes.into_findings();
    findings.retain(|finding| fine || finding.severity != Severity::Warning);
    let report = Report::new(Arc::clone(&sources), findings);
    match read {
        Some((app, bindings)) if fine => Ok(Plan { app, bindings, warnings: report, sources }),
        _ => Err(report),
    }
}

/// Reads the tables. `None` only where there is no file.
fn assemble<O>(
    input: &Input<'_>,
    capabilities: &[Capability<O>],
    loaded: &Loaded,
    notes: &Notes,
) -> Option<(App, Vec<Binding<O>>)> {
    let sources = loaded.sources.iter().enumerate();
    let mut tables: Vec<_> =
        sources.map(|(file, source)| document::parse(file, &source.text, notes)).collect();
    shadow(&mut tables, capabilities);
    let expansions = fill(input, loaded, &mut tables, notes);
    let readers: Vec<_> = expansions
        .into_iter()
        .zip(&loaded.bases)
        .enumerate()
        .map(|(file, (expansions, base))| {
            let callable = input.callable;
            Reader { file, base, expansions, notes, callable }
        })
        .collect();
    let names: Vec<_> = capabilities.iter().map(|capability| capability.name).collect();
    let roots: Vec<_> = readers
        .iter()
        .zip(&tables)
        .map(|(reader, table)| {
            let keys = if reader.file == 0 { &APP } else { &OVERLAY };
            Section::open(reader, table, 0..0, keys, &names)
        })
        .collect();
    let bound = bindings(capabilities, &roots, notes);
    let app = app(roots.first()?, input, loaded.bare.as_deref(), capabilities, &bound);
    warnings::add(&app, &bound, notes);
    Some((app, bound.into_iter().flat_map(|bound| bound.bindings).collect()))
}

/// Takes out of the first file what the overlay binds: what is not used is not checked either.
fn shadow<O>(tables: &mut [DeTable<'_>], capabilities: &[Capability<O>]) {
    let [app, overlay] = tables else { return };
    if overlay.contains_key("secrets") {
        app.remove("secrets");
    }
    for capability in capabilities {
        let Some(DeValue::Table(over)) = overlay.get(capability.name).map(|value| value.get_ref())
        else {
            continue;
        };
        if let Some(DeValue::Table(under)) =
            app.get_mut(capability.name).map(|value| value.get_mut())
        {
            for name in over.keys() {
                under.remove(name);
            }
        }
    }
}

/// Fills in every `${…}`: first where secrets come from, then, with them, everything else.
fn fill(
    input: &Input<'_>,
    loaded: &Loaded,
    tables: &mut [DeTable<'_>],
    notes: &Notes,
) -> Vec<Expansions> {
    let mut secrets = Secrets::none(input.variable);
    let files = || loaded.sources.iter().zip(&loaded.bases).enumerate();
    let lookup = |file, text, base, secrets| Lookup {
        file,
        text,
        base,
        variable: input.variable,
        secrets,
        notes,
    };
    for ((file, (source, base)), table) in files().zip(tables.iter_mut()) {
        let Some((key, value)) = table.remove_entry("secrets") else { continue };
        let mut own = DeTable::new();
        own.insert(key, value);
        let expansions = expand::expand(&mut own, &lookup(file, &source.text, base, None));
        let callable = input.callable;
        let reader = Reader { file, base, expansions, notes, callable };
        let root = Section::open(&reader, &own, 0..0, &OVERLAY, &[]);
        if let Some(section) = root.table("secrets", &SECRETS) {
            secrets.add(&section, base);
        }
    }
    let filled = files().zip(tables.iter_mut()).map(|((file, (source, base)), table)| {
        expand::expand(table, &lookup(file, &source.text, base, Some(&secrets)))
    });
    filled.collect()
}

fn bindings<O>(
    capabilities: &[Capability<O>],
    roots: &[Section<'_>],
    notes: &Notes,
) -> Vec<Bindings<O>> {
    let read = |capability| {
        let mut bindings = Bindings::read(capability, roots);
        if let Err(mistake) = bindings.add_default(capability) {
            notes.mistake(0, mistake);
        }
        bindings
    };
    capabilities.iter().map(read).collect()
}

/// Reads everything but the bindings. Where `bare` is a component, `root` is an empty file.
fn app<O>(
    root: &Section<'_>,
    input: &Input<'_>,
    bare: Option<&Path>,
    capabilities: &[Capability<O>],
    bound: &[Bindings<O>],
) -> App {
    let name = match bare {
        Some(path) => name_from(path),
        None => read_name(root),
    };
    let mut components = match bare {
        Some(path) => vec![Component::bare(&name, path, grants::by_default(capabilities))],
        None => component::read(root, capabilities, bound),
    };
    for component in &mut components {
        add_overrides(component, input, root.reader.notes);
    }
    let names: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
    let (upstreams, led_to) = upstream::read(root);
    let names_of = |capability: &str| {
        let bindings = capabilities.iter().zip(bound).find(|(found, _)| found.name == capability);
        bindings.map(|(_, bound)| bound.names()).unwrap_or_default()
    };
    let keyvalue = names_of(WATCHED);
    let (filters, before) = filter::read(root, &keyvalue);
    let http = match bare {
        Some(_) => Some(Http::bare(&name, &input.listen)),
        None => http::read(root, &input.listen, &names, &led_to, &before),
    };
    let tcp = tcp::read(root, http.as_ref(), &led_to, &before);
    let timers = triggers::timers(root, &names);
    let watches = triggers::watches(root, &components, &keyvalue);
    let subscriptions = subscribe::read(root, &components, &names_of(SUBSCRIBED));
    let data = match bare {
        Some(_) => PathBuf::from(DATA),
        None => root.path("data").map_or_else(|| root.reader.base.join(DATA), |(path, _)| path),
    };
    let log = root.table("log", &LOG).map(|log| read_log(&log)).unwrap_or_default();
    App {
        name,
        data,
        components,
        upstreams,
        filters,
        http,
        tcp,
        timers,
        watches,
        subscriptions,
        log,
    }
}

/// The app's name, or the folder's.
fn read_name(root: &Section<'_>) -> String {
    let name = root.parsed("name", "a name", |name| match check_name(name) {
        Ok(()) => Ok(name.to_owned()),
        Err(why) => Err(format!("an app's name {why}")),
    });
    name.unwrap_or_else(|| {
        let folder = std::path::absolute(root.reader.base.join(FILE)).unwrap_or_default();
        let name = name_from(folder.parent().unwrap_or(Path::new("")));
        if !root.has("name") {
            let message = format!("this app has no name, and is called `{name}` as its folder is");
            let hint =
                format!("name = \"{name}\", so that its data is found in another folder too");
            root.reader.notes.warning(None, message, &hint);
        }
        name
    })
}

/// Adds what the command line gives to every component.
fn add_overrides(component: &mut Component, input: &Input<'_>, notes: &Notes) {
    for (name, value) in &input.environment {
        component.environment.insert(name.clone(), Text::plain(value));
    }
    for files in &input.files {
        if let Some(finding) = no_directory(&files.host, &files.host.display()) {
            notes.finding(None, finding);
        }
        component.files.retain(|own| own.guest != files.guest);
        component.files.push(files.clone());
    }
}

fn read_log(log: &Section<'_>) -> Log {
    let filter = log.string("filter").map(|filter| (filter.value, filter.at));
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    Log { format: log.choice("format", &formats), filter }
}
