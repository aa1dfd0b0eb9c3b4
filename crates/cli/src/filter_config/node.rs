//! A value of the configuration with its path, and the list of what could not be carried over.
//!
//! What of an object nobody took is on the list when the object is dropped: nothing is lost in
//! silence.

use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// What the user is told.
#[derive(Default)]
pub(crate) struct Notes {
    left: RefCell<Vec<String>>,
    changed: RefCell<Vec<String>>,
}

impl Notes {
    pub(crate) fn is_empty(&self) -> bool {
        self.left.borrow().is_empty() && self.changed.borrow().is_empty()
    }

    /// Both lists, each line behind `begin`, those below a heading behind `indent` too.
    pub(crate) fn render(&self, begin: &str, indent: &str) -> String {
        let mut text = String::new();
        let lists =
            [("Not carried over:", &self.left), ("Carried over, but not the same:", &self.changed)];
        for (heading, list) in lists {
            let list = list.borrow();
            if list.is_empty() {
                continue;
            }
            text.extend([begin, heading, "\n"]);
            for line in list.iter() {
                text.extend([begin, indent, line, "\n"]);
            }
        }
        text
    }
}

/// Text without anything that a terminal or a comment would not take as text.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A name of Protocol Buffers as its JSON may write it too: `http_filters` as `httpFilters`.
pub(crate) fn camel(name: &str) -> String {
    let mut camel = String::new();
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                camel.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => camel.push(c),
        }
    }
    camel
}

/// One value and where it stands.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    value: &'a Value,
    path: String,
    notes: &'a Notes,
}

impl<'a> Node<'a> {
    pub(crate) fn root(value: &'a Value, notes: &'a Notes) -> Self {
        Self { value, path: String::new(), notes }
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// Notes that this was not carried over.
    pub(crate) fn left(&self, why: &str) {
        self.note(&self.notes.left, why);
    }

    /// Notes that this was carried over, and is not quite the same.
    pub(crate) fn changed(&self, how: &str) {
        self.note(&self.notes.changed, how);
    }

    fn note(&self, list: &RefCell<Vec<String>>, text: &str) {
        let path = if self.path.is_empty() { "the file" } else { &self.path };
        let line = clean(&format!("{path}: {text}"));
        // A route of several hosts is looked at for each.
        if list.borrow().last() != Some(&line) {
            list.borrow_mut().push(line);
        }
    }

    fn at(&self, value: &'a Value, step: &str) -> Self {
        let path = match self.path.as_str() {
            "" => step.trim_start_matches('.').to_owned(),
            path => format!("{path}{step}"),
        };
        Self { value, path, notes: self.notes }
    }

    fn wanted<T>(&self, found: Option<T>, what: &str) -> Option<T> {
        if found.is_none() {
            self.left(&format!("this is not {what}"));
        }
        found
    }

    pub(crate) fn object(&self) -> Option<Object<'a>> {
        let map = self.wanted(self.value.as_object(), "a message")?;
        Some(Object { map, node: self.clone(), seen: RefCell::default(), left: Cell::new(false) })
    }

    pub(crate) fn items(&self) -> Vec<Self> {
        let items = self.wanted(self.value.as_array(), "a list").into_iter().flatten();
        items.enumerate().map(|(at, value)| self.at(value, &format!("[{at}]"))).collect()
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        self.wanted(self.value.as_str(), "text")
    }

    pub(crate) fn truth(&self) -> Option<bool> {
        let truth = self.value.as_bool().or_else(|| self.value.as_str()?.parse().ok());
        self.wanted(truth, "`true` or `false`")
    }

    /// A whole number, which may be written as one, as text or as `5.0`.
    pub(crate) fn number(&self) -> Option<u64> {
        let float = || {
            let float = self.value.as_f64()?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
            (float.fract() == 0.0 && (0.0..9e15).contains(&float)).then_some(float as u64)
        };
        let number = self.value.as_u64().or_else(float);
        let number = number.or_else(|| self.value.as_str()?.parse().ok());
        self.wanted(number, "a whole number")
    }

    /// A duration as Protocol Buffers write it: `"1.5s"`, or its seconds and nanoseconds.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let text = || {
            let seconds: f64 = self.value.as_str()?.strip_suffix('s')?.parse().ok()?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        let parts = || {
            let part = |key: &str| self.value.get(key).map_or(Some(0), Value::as_u64);
            let nanos =
                u32::try_from(part("nanos")?).ok().filter(|nanos| *nanos < 1_000_000_000)?;
            self.value.is_object().then_some(Duration::new(part("seconds")?, nanos))
        };
        self.wanted(text().or_else(parts), "a duration")
    }
}

/// A message, of which each field is taken once.
pub(crate) struct Object<'a> {
    map: &'a Map<String, Value>,
    node: Node<'a>,
    seen: RefCell<Vec<&'a str>>,
    left: Cell<bool>,
}

impl<'a> Object<'a> {
    pub(crate) fn node(&self) -> &Node<'a> {
        &self.node
    }

    /// The field `name`, if it is there.
    pub(crate) fn take(&self, name: &str) -> Option<Node<'a>> {
        let field = self.map.get_key_value(name).or_else(|| self.map.get_key_value(&camel(name)));
        let (key, value) = field?;
        self.seen.borrow_mut().push(key);
        (!value.is_null()).then(|| self.child(key, value))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        [name, &camel(name)].iter().any(|name| self.map.get(*name).is_some_and(|it| !it.is_null()))
    }

    fn child(&self, key: &str, value: &'a Value) -> Node<'a> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@');
        let step = match key.chars().all(plain) {
            true => format!(".{key}"),
            false => format!("[{key:?}]"),
        };
        self.node.at(value, &step)
    }

    pub(crate) fn object(&self, name: &str) -> Option<Self> {
        self.take(name)?.object()
    }

    pub(crate) fn items(&self, name: &str) -> Vec<Node<'a>> {
        self.take(name).map(|node| node.items()).unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.take(name)?.text()
    }

    pub(crate) fn truth(&self, name: &str) -> Option<bool> {
        self.take(name)?.truth()
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.take(name)?.number()
    }

    /// Every field that is left, as a map has them.
    pub(crate) fn rest(&self) -> Vec<(&'a str, Node<'a>)> {
        let seen = self.seen.replace(self.map.keys().map(String::as_str).collect());
        let rest = self.map.iter().filter(|(key, _)| !seen.contains(&key.as_str()));
        rest.map(|(key, value)| (key.as_str(), self.child(key, value))).collect()
    }

    /// Passes over fields that change nothing of what is served.
    pub(crate) fn skip(&self, names: &[&str]) {
        for name in names {
            drop(self.take(name));
        }
    }

    /// Says no more of it.
    pub(crate) fn hush(&self) {
        self.left.set(true);
    }

    /// Notes that nothing of it was carried over.
    pub(crate) fn leave(&self, why: &str) {
        self.left.set(true);
        self.node.left(why);
    }

    /// What a field of the type `Any` says that it is, and what is in it.
    ///
    /// Both forms are known: the message beside its `@type`, and a `TypedStruct` around it.
    pub(crate) fn any(&self) -> Option<(&'a str, Object<'a>)> {
        let name = self.text("@type").map(message_name);
        let Some("TypedStruct") = name.and_then(|name| name.rsplit('.').next()) else {
            let inner = self.node.object()?;
            inner.seen.replace(self.seen.borrow().clone());
            self.left.set(true);
            return Some((name?, inner));
        };
        let name = message_name(self.text("type_url")?);
        Some((name, self.object("value")?))
    }
}

/// `type.googleapis.com/a.b.C` without what stands before the last slash.
fn message_name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        if self.left.get() {
            return;
        }
        for (key, node) in self.rest() {
            node.left(hint(key));
        }
    }
}

/// What there is to say of a field that nobody took.
fn hint(key: &str) -> &'static str {
    match key {
        "dynamic_resources" | "rds" | "eds_cluster_config" | "scoped_routes"
        | "config_discovery" => "there is no control plane: what it says has to stand in the file",
        "typed_per_filter_config" => {
            "a route has its own configuration of a filter in \
             `filters = [{ name = \"…\", configuration = … }]`"
        }
        "redirect" => "a component may answer so",
        "retry_policy" => "retries are those of an upstream",
        _ => "no equivalent",
    }
}
