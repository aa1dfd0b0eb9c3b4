//! `[filter.NAME]`: Proxy-Wasm filters that stand before components and upstreams.

use crate::component::{file, texts};
use crate::keys::{FILTER, FILTER_LIMITS, FILTER_USE};
use crate::notes::Placed;
use crate::section::Section;
use crate::source::At;
use crate::text::Text;
use base::Mistake;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);

/// A filter. The host has a default for what is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its name.
    pub name: String,
    /// Where it stands in the file.
    pub at: At,
    /// Its code, a file that was there.
    pub source: PathBuf,
    /// Where `source` stands.
    pub source_at: At,
    /// Which of several plugins of the code it is.
    pub root_id: String,
    /// Under which name virtual machines share data.
    pub vm_id: String,
    /// The key-value binding that keeps what they share, which is bound.
    pub shared_data: Option<String>,
    /// What it is configured with.
    pub configuration: Text,
    /// What its virtual machine is configured with.
    pub vm_configuration: Text,
    /// Its environment variables.
    pub environment: BTreeMap<String, Text>,
    /// What it may use; `None`: everything.
    pub capabilities: Option<Vec<String>>,
    /// What becomes of requests when it fails.
    pub on_failure: Option<OnFailure>,
    /// Whether the body comes to it while the head waits.
    pub headers_stop: Option<HeadersStop>,
    /// Who shares its virtual machine.
    pub isolation: Option<Isolation>,
    /// Whether imports that nobody knows are let through.
    pub lenient: bool,
    /// What it may use.
    pub limits: FilterLimits,
}

/// What becomes of requests when a filter fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is a word of the file, and the table of keys says what it is"
)]
pub enum OnFailure {
    Closed,
    Open,
    Reload,
}

/// Whether the body comes to a filter while the head waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is a word of the file, and the table of keys says what it is"
)]
pub enum HeadersStop {
    All,
    Iteration,
}

/// Who shares a virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is a word of the file, and the table of keys says what it is"
)]
pub enum Isolation {
    Worker,
    Plugin,
    Stream,
}

/// What a filter may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a key of the file, and the table of keys says what it is")]
pub struct FilterLimits {
    pub memory: Option<u64>,
    pub table_elements: Option<usize>,
    pub callback: Option<Duration>,
    pub buffer: Option<usize>,
    pub calls: Option<usize>,
}

/// A filter where it stands before something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterUse {
    /// Its name: one that exists.
    pub name: String,
    /// What it is configured with here, instead of what its section says.
    pub configuration: Option<Text>,
}

/// Reads every filter, and the names of all, also of those that are wrong: what was reported once
/// is not missing.
pub(crate) fn read<'a>(root: &Section<'a>, stores: &[&str]) -> (Vec<Filter>, Vec<&'a str>) {
    let (tables, names) = root.named("filter", "a filter", &FILTER, &[]);
    let filters: Vec<_> =
        tables.iter().map(|(name, section)| read_one(section, name, stores)).collect();
    let mut places: BTreeMap<&str, (&str, At)> = BTreeMap::new();
    for ((_, section), filter) in tables.iter().zip(&filters) {
        let Some(store) = filter.shared_data.as_deref() else { continue };
        let at = section.at_key("shared-data");
        match places.get(filter.vm_id.as_str()) {
            Some((other, first)) if *other != store => {
                let message = "filters of one `vm-id` share their data, and keep it in one place";
                let mistake = Mistake::at(at.span.clone(), message);
                section.reader.notes.contradiction(at, first.clone(), "another here", mistake);
            }
            _ => drop(places.insert(&filter.vm_id, (store, at))),
        }
    }
    (filters, names)
}

fn read_one(section: &Section<'_>, name: &Placed<&str>, stores: &[&str]) -> Filter {
    if !section.has("source") {
        let message = format!("filter `{}` has no source", name.value);
        section.missing(message, "source = \"FILE.wasm\"");
    }
    let text = |key: &str| section.string(key).map(|text| text.value).unwrap_or_default();
    let on_failure =
        [("closed", OnFailure::Closed), ("open", OnFailure::Open), ("reload", OnFailure::Reload)];
    let headers_stop = [("all", HeadersStop::All), ("iteration", HeadersStop::Iteration)];
    let isolation = [
        ("worker", Isolation::Worker),
        ("plugin", Isolation::Plugin),
        ("stream", Isolation::Stream),
    ];
    let limits = section.table("limits", &FILTER_LIMITS);
    Filter {
        name: name.value.to_owned(),
        at: name.at.clone(),
        source: file(section, "source").unwrap_or_default(),
        source_at: section.at_key("source"),
        root_id: text("root-id"),
        vm_id: text("vm-id"),
        shared_data: section.name_of("shared-data", "binding", stores),
        configuration: configuration(section, "configuration").unwrap_or(Text::plain("")),
        vm_configuration: configuration(section, "vm-configuration").unwrap_or(Text::plain("")),
        environment: texts(section, "environment"),
        capabilities: capabilities(section),
        on_failure: section.choice("on-failure", &on_failure),
        headers_stop: section.choice("headers-stop", &headers_stop),
        isolation: section.choice("isolation", &isolation),
        lenient: section.flag("lenient").unwrap_or(false),
        limits: limits.map(|limits| read_limits(&limits)).unwrap_or_default(),
    }
}

/// What a filter may use, by names that there are: one that nobody knows would allow nothing, and
/// nobody would hear of it.
fn capabilities(section: &Section<'_>) -> Option<Vec<String>> {
    let known = section.reader.callable;
    let is_known = |name: &Placed<String>| known.is_none_or(|it| it.contains(&name.value.as_str()));
    let names = section.strings("capabilities")?.into_iter();
    let (names, unknown): (Vec<_>, Vec<_>) = names.partition(is_known);
    for name in unknown {
        // There are too many to be named all.
        let near = base::nearest(&name.value, known.into_iter().flatten().copied());
        let mistake = section.unknown_name(&name.at, "capability", &name.value, near.as_slice());
        section.mistake(match near {
            Some(_) => mistake,
            None => mistake.with_hint(
                "those are host calls, callbacks and functions of WASI, such as `proxy_log`",
            ),
        });
    }
    Some(names.into_iter().map(|name| name.value).collect())
}

fn read_limits(limits: &Section<'_>) -> FilterLimits {
    FilterLimits {
        memory: limits.size("memory", 64 << 10..=4 << 30),
        table_elements: limits.number("table-elements", 1..=10_000_000),
        callback: limits.duration("callback", TIMES),
        buffer: limits.size("buffer", 0..=1 << 30),
        calls: limits.number("calls", 0..=1_000_000),
    }
}

/// The filters that `filters` of a section names, each a name or a table with one.
pub(crate) fn uses(section: &Section<'_>, known: &[&str]) -> Vec<FilterUse> {
    let Some(value) = section.value("filters") else { return Vec::new() };
    let Some(array) = value.get_ref().as_array() else {
        section.reader.expected(value, "an array of filters");
        return Vec::new();
    };
    array.iter().filter_map(|value| one_use(section, value, known)).collect()
}

fn one_use<'a>(
    section: &Section<'a>,
    value: &'a Spanned<DeValue<'a>>,
    known: &[&str],
) -> Option<FilterUse> {
    if let Some(table) = value.get_ref().as_table() {
        let section = Section::open(section.reader, table, value.span(), &FILTER_USE, &[]);
        if !section.has("name") {
            section.missing("this filter has no name".to_owned(), "name = \"auth\"");
        }
        let name = section.name_of("name", "filter", known)?;
        return Some(FilterUse { name, configuration: configuration(&section, "configuration") });
    }
    let word = section.reader.open_word(value, "a filter's name")?;
    if !known.contains(&word.value) {
        let at = section.reader.at(value.span());
        section.mistake(section.unknown_name(&at, "filter", word.written(), known));
        return None;
    }
    Some(FilterUse { name: word.value.to_owned(), configuration: None })
}

/// A configuration: text as it is, or a table, which the filter reads as JSON.
fn configuration(section: &Section<'_>, key: &str) -> Option<Text> {
    let value = section.value(key)?;
    if value.get_ref().as_str().is_some() {
        return section.reader.text(value);
    }
    if value.get_ref().as_table().is_none() {
        section.reader.expected(value, "text or a table");
        return None;
    }
    let (written, filled) = (json(section, value, false), json(section, value, true));
    Some(Text::new(written.to_string(), filled.to_string()))
}

/// A value as JSON: as it was written, or with everything filled in.
fn json(section: &Section<'_>, value: &Spanned<DeValue<'_>>, filled: bool) -> serde_json::Value {
    use serde_json::Value;
    match value.get_ref() {
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(number.as_str()),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(number.as_str()),
        },
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(array) => array.iter().map(|value| json(section, value, filled)).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), json(section, value, filled)))
            .collect(),
        DeValue::String(_) => {
            let text = section.reader.text(value);
            let text =
                text.as_ref().map(|text| if filled { text.reveal() } else { text.written() });
            Value::from(text.unwrap_or_default())
        }
    }
}
