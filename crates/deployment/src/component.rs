//! `[component.NAME]`: code, and what it may touch.

use crate::binding::{Bindings, Capability};
use crate::grants;
use crate::keys::{COMPONENT, FILES, LIMITS, REUSE};
use crate::notes::Placed;
use crate::plan::{Component, Engine, Files, Limits, Reuse};
use crate::report::Finding;
use crate::section::Section;
use crate::source::At;
use crate::text::Text;
use base::{Error, Kind, Mistake};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Long enough for any one call, short enough for a typing mistake to be seen.
const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);

/// Reads every component of the file.
pub(crate) fn read<O>(
    root: &Section<'_>,
    capabilities: &[Capability<O>],
    bound: &[Bindings<O>],
) -> Vec<Component> {
    let keys: Vec<_> = capabilities.iter().map(|capability| capability.grant).collect();
    let (tables, _names) = root.named("component", "a component", &COMPONENT, &keys);
    let read = tables.into_iter().map(|(name, section)| {
        let grants = grants::read(&section, capabilities, bound);
        read_one(&section, &name, grants)
    });
    read.collect()
}

fn read_one(
    section: &Section<'_>,
    name: &Placed<&str>,
    grants: BTreeMap<&'static str, Vec<String>>,
) -> Component {
    if !section.has("source") {
        let message = format!("component `{}` has no source", name.value);
        section.missing(message, "source = \"FILE.wasm\"");
    }
    let engines =
        [("auto", Engine::Auto), ("cranelift", Engine::Cranelift), ("winch", Engine::Winch)];
    let (limits, reuse) = (section.table("limits", &LIMITS), section.table("reuse", &REUSE));
    Component {
        name: name.value.to_owned(),
        at: Some(name.at.clone()),
        source: file(section, "source").unwrap_or_default(),
        source_at: Some(section.at_key("source")),
        grants,
        config: texts(section, "config"),
        environment: texts(section, "environment"),
        args: args(section),
        files: files(section),
        egress: egress(section),
        limits: limits.map(|limits| read_limits(&limits)).unwrap_or_default(),
        reuse: reuse.map(|reuse| read_reuse(&reuse)).unwrap_or_default(),
        engine: section.choice("engine", &engines).unwrap_or_default(),
    }
}

impl Component {
    /// The component of an app without a file.
    pub(crate) fn bare(
        name: &str,
        source: &Path,
        grants: BTreeMap<&'static str, Vec<String>>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            at: None,
            source: source.to_path_buf(),
            source_at: None,
            grants,
            config: BTreeMap::new(),
            environment: BTreeMap::new(),
            args: Vec::new(),
            files: Vec::new(),
            egress: Vec::new(),
            limits: Limits::default(),
            reuse: Reuse::default(),
            engine: Engine::default(),
        }
    }
}

/// A path to a file that is there.
pub(crate) fn file(section: &Section<'_>, key: &str) -> Option<PathBuf> {
    let (path, written) = section.path(key)?;
    let At { span, .. } = section.at_key(key);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => return Some(path),
        Ok(_) => section.mistake(Mistake::at(span, format!("`{written}` is no file"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mistake = Mistake::at(span, format!("there is no file `{written}`"));
            // What lies beside a path that was filled in is not shown.
            let as_written = path == section.reader.base.join(&written);
            section.mistake(match neighbour(&path).filter(|_| as_written) {
                Some(near) => mistake.with_hint(format!("did you mean `{near}`?")),
                None => mistake,
            });
        }
        Err(error) => {
            let message = format!("cannot look at `{written}`");
            let error = Error::unreadable(message, error, Kind::Invalid);
            section.reader.notes.finding(Some(section.at_key(key)), error);
        }
    }
    None
}

/// The name in the same folder that a path most likely meant.
fn neighbour(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    base::nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

/// Texts by their names.
pub(crate) fn texts(section: &Section<'_>, key: &str) -> BTreeMap<String, Text> {
    let entries = section.entries(key).into_iter();
    entries
        .filter_map(|(name, value)| Some((name.value.to_owned(), section.reader.text(value)?)))
        .collect()
}

fn args(section: &Section<'_>) -> Vec<Text> {
    let Some(value) = section.value("args") else { return Vec::new() };
    let Some(array) = value.get_ref().as_array() else {
        section.reader.expected(value, "an array of text");
        return Vec::new();
    };
    array.iter().filter_map(|value| section.reader.text(value)).collect()
}

fn files(section: &Section<'_>) -> Vec<Files> {
    let mut found: Vec<Files> = Vec::new();
    for entry in section.tables("files", &FILES) {
        for key in ["host", "guest"].into_iter().filter(|key| !entry.has(key)) {
            entry.missing(
                format!("`files` needs `{key}`"),
                "for example { host = \"static\", guest = \"/static\" }",
            );
        }
        let write = entry.choice("mode", &[("read", false), ("write", true)]).unwrap_or(false);
        let host = directory(&entry);
        let Some(guest) = entry.string("guest") else { continue };
        if found.iter().any(|files| files.guest == guest.value) {
            let message = "this path was given to the component already";
            entry.mistake(Mistake::at(guest.span(), message));
        }
        if let Some(host) = host {
            found.push(Files { host, guest: guest.value, write });
        }
    }
    found
}

fn directory(entry: &Section<'_>) -> Option<PathBuf> {
    let (path, written) = entry.path("host")?;
    let Some(finding) = no_directory(&path, &written) else { return Some(path) };
    entry.reader.notes.finding(Some(entry.at_key("host")), finding);
    None
}

/// What is wrong with a directory that guests are to see, if something is.
pub(crate) fn no_directory(path: &Path, written: &dyn fmt::Display) -> Option<Finding> {
    let error = base::enter(path).err()?;
    Some(match Error::unreadable(format!("cannot enter `{written}`"), error, Kind::Invalid) {
        error if error.kind() == Kind::NotFound => {
            Mistake::new(format!("there is no directory `{written}`")).into()
        }
        error => error.into(),
    })
}

fn egress(section: &Section<'_>) -> Vec<base::egress::Rule> {
    let rules = section.each("egress", "an egress rule", str::parse).unwrap_or_default();
    rules.into_iter().map(|rule| rule.value).collect()
}

fn read_limits(limits: &Section<'_>) -> Limits {
    const MANY: u64 = 10_000_000;
    // Tables and instances: what a slot of the engine's pool has room for, at the most.
    Limits {
        memory: limits.size("memory", 64 * KIB..=4 * GIB),
        tables: limits.number("tables", 1..=64),
        table_elements: limits.number("table-elements", 1..=100_000),
        instances: limits.number("instances", 1..=64),
        stack: limits.size("stack", 64 * KIB..=64 * MIB),
        handles: limits.number("handles", 1..=MANY),
        hostcall_buffer: limits.size("hostcall-buffer", 64 * KIB..=4 * GIB),
        hostcalls: limits.number("hostcalls", 1..=MANY),
        hostcall_timeout: limits.duration("hostcall-timeout", TIMES),
        request_timeout: limits.duration("request-timeout", TIMES),
        concurrency: limits.number("concurrency", 1..=MANY),
        queue: limits.number("queue", 0..=MANY),
        queue_timeout: limits.duration("queue-timeout", Duration::ZERO..=*TIMES.end()),
        request_body: limits.size("request-body", 0..=1024 * GIB),
        response_body: limits.size("response-body", 0..=1024 * GIB),
        header_size: limits.size("header-size", KIB..=16 * MIB),
        log_rate: limits.number("log-rate", 0..=MANY),
        outbound: limits.number("outbound", 0..=MANY),
    }
}

fn read_reuse(reuse: &Section<'_>) -> Reuse {
    Reuse {
        requests: reuse.number("requests", 1..=1_000_000_000),
        concurrent: reuse.number("concurrent", 1..=10_000),
    }
}

/// A name that backends, logs and URLs bear.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 63 {
        return Err("has 1 to 63 letters");
    }
    if !name.chars().all(good) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("is made of letters, digits, `-`, `_` and `.`, and begins with one of the \
                    first two");
    }
    Ok(())
}

/// A name made of whatever a file or a folder is called.
pub(crate) fn name_from(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = stem.chars().map(|c| if good(c) { c } else { '-' }).take(63).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { "app".to_owned() } else { name.to_owned() }
}
