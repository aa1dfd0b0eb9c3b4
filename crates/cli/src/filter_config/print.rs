//! The deployment file as it is printed.

use super::node::Notes;
use super::plugin::Filter;
use super::route::Route;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

/// What was carried over.
#[derive(Default)]
pub(crate) struct Deployment {
    pub(crate) listen: Vec<String>,
    pub(crate) admin: Option<String>,
    /// Further keys of `[http]`.
    pub(crate) http: Table,
    pub(crate) routes: Vec<Route>,
    pub(crate) filters: Vec<Filter>,
    /// `[upstream.NAME]`, by name.
    pub(crate) upstreams: Vec<(String, Table)>,
}

impl Deployment {
    /// Whether there is anything that a deployment could be made of.
    pub(crate) fn is_of_use(&self) -> bool {
        !(self.filters.is_empty() && self.routes.is_empty() && self.upstreams.is_empty())
    }

    /// The file, with the notes at its top.
    pub(crate) fn text(self, notes: &Notes) -> String {
        let mut file = DocumentMut::new();
        file.insert("http", Item::Table(http(&self)));
        let sections = |entries: Vec<(String, Table)>| {
            let mut all = Table::new();
            all.set_implicit(true);
            for (name, table) in entries {
                all.insert(&name, Item::Table(table));
            }
            Item::Table(all)
        };
        let filters: Vec<_> = self.filters.into_iter().map(|it| (it.name, it.table)).collect();
        for (key, entries) in [("filter", filters), ("upstream", self.upstreams)] {
            if !entries.is_empty() {
                file.insert(key, sections(entries));
            }
        }
        let notes = notes.render("# ", "  ");
        let gap = if notes.is_empty() { "" } else { "#\n" };
        format!("# Made of an Envoy configuration.\n{gap}{notes}\n{file}")
    }
}

fn http(of: &Deployment) -> Table {
    let mut http = Table::new();
    if !of.listen.is_empty() {
        http.insert("listen", value(of.listen.iter().collect::<Array>()));
    }
    if let Some(admin) = &of.admin {
        http.insert("admin", value(admin));
    }
    for (key, item) in &of.http {
        http.insert(key, item.clone());
    }
    // Where one route differs in its filters, each says its own.
    let differ = of.routes.iter().any(|route| !route.own.is_empty());
    if !of.filters.is_empty() && !differ {
        http.insert("filters", value(of.filters.iter().map(|it| &it.name).collect::<Array>()));
    }
    let mut routes = ArrayOfTables::new();
    for route in &of.routes {
        let mut table = route.table();
        if differ {
            table.insert("filters", value(route.own.filters(&of.filters)));
        }
        routes.push(table);
    }
    if !routes.is_empty() {
        http.insert("route", Item::ArrayOfTables(routes));
    }
    http
}
