//! From a filter's section to plugins that were tried.

use super::problems::Problems;
use super::{App, Host, Led};
use crate::beside::beside;
use crate::shared::Kept;
use ::filter::{HeadersStop, Isolation, Limits, Module, OnFailure, Plugin};
use base::Result;
use deployment::{FilterUse, Http};
use engine::Source;
use gateway::filter::{Clusters, Filters, try_out};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The filters of an app, by their names.
pub(crate) type All = BTreeMap<String, Made>;

/// One filter, and what it was made of.
#[derive(Clone)]
pub(crate) struct Made {
    of: deployment::Filter,
    bytes: Arc<[u8]>,
    plugin: Arc<Plugin>,
    /// With configurations of places' own.
    others: Vec<Arc<Plugin>>,
}

/// Every filter, compiled and tried once with each of its configurations. What an earlier file made
/// of the same section and code goes on as it is.
pub(super) async fn all(
    app: &deployment::App,
    host: Host<'_>,
    upstreams: &BTreeMap<String, Led>,
    problems: &mut Problems,
) -> All {
    let clusters = clusters(upstreams);
    let mut all = All::new();
    for of in &app.filters {
        let uses = uses(app).filter(|it| it.name == of.name);
        let configurations = uses.filter_map(|it| it.configuration.as_ref());
        let configurations: Vec<bytes::Bytes> =
            configurations.map(|text| text.reveal().to_owned().into()).collect();
        match one(of, host, &configurations, &clusters).await {
            Ok(made) => drop(all.insert(of.name.clone(), made)),
            Err(error) => {
                problems.add(Some(&of.source_at), error.context(format!("filter `{}`", of.name)));
            }
        }
    }
    all
}

/// Where filters stand.
fn uses(app: &deployment::App) -> impl Iterator<Item = &FilterUse> {
    let of_http = app.http.iter().flat_map(|http| {
        http.filters.iter().chain(http.routes.iter().flat_map(|route| &route.filters))
    });
    of_http.chain(app.tcp.iter().flat_map(|tcp| &tcp.filters))
}

/// The upstreams, as filters call them.
pub(crate) fn clusters(upstreams: &BTreeMap<String, Led>) -> Clusters {
    let cluster = |(name, led): (&String, &Led)| (name.clone(), Arc::clone(&led.upstream));
    upstreams.iter().map(cluster).collect()
}

/// Where filters keep what they share, by `vm-id`. What an earlier file kept there goes on.
pub(super) fn shared(app: &App, earlier: Option<&App>) -> BTreeMap<String, Arc<Kept>> {
    let earlier = || earlier.into_iter().flat_map(|app| app.shared.values());
    let filters = || app.plan.filters.iter();
    let kept = filters().filter_map(|of| {
        // What could not be opened was reported.
        let store = app.store(of.shared_data.as_ref()?)?;
        let same_vm = filters().filter(|other| other.vm_id == of.vm_id);
        let callback =
            same_vm.map(|it| it.limits.callback.unwrap_or(Limits::default().callback)).min();
        // Some time is left to the filter itself.
        let wait = callback.unwrap_or_default() / 2;
        let same = earlier().find(|kept| kept.is(store, wait)).map(Arc::clone);
        Some((of.vm_id.clone(), same.unwrap_or_else(|| Kept::new(store, wait))))
    });
    kept.collect()
}

/// The filters before a route: those of the server, then its own.
pub(super) fn before(all: &All, http: &Http, route: &deployment::Route) -> Filters {
    placed(all, http.filters.iter().chain(&route.filters))
}

/// The filters that stand there, each with its configuration.
pub(super) fn placed<'a>(all: &All, uses: impl Iterator<Item = &'a FilterUse>) -> Filters {
    uses.filter_map(|it| all.get(&it.name)?.find(it.configuration.as_ref())).collect()
}

impl Made {
    /// The version of the ABI that it speaks.
    pub(crate) fn abi(&self) -> &'static str {
        self.plugin.module.abi().word()
    }

    /// The plugin with this configuration, or with the section's.
    fn find(&self, configuration: Option<&deployment::Text>) -> Option<Arc<Plugin>> {
        let Some(configuration) = configuration else { return Some(Arc::clone(&self.plugin)) };
        let is = |it: &&Arc<Plugin>| it.configuration == configuration.reveal();
        self.others.iter().chain([&self.plugin]).find(is).cloned()
    }
}

async fn one(
    of: &deployment::Filter,
    host: Host<'_>,
    configurations: &[bytes::Bytes],
    clusters: &Clusters,
) -> Result<Made> {
    let earlier = host.earlier.and_then(|app| app.filters.get(&of.name));
    let (path, lenient) = (of.source.clone(), of.lenient);
    let (program, name) = (Arc::clone(host.program), of.name.clone());
    let known = earlier.map(|made| (Arc::clone(&made.bytes), made.plugin.module.clone()));
    let was_lenient = earlier.is_some_and(|made| made.of.lenient);
    let (bytes, module) = beside(move || {
        let source = Source::read(&path)?;
        let bytes = Arc::clone(&source.bytes);
        let module = match known {
            Some((same, module)) if same == bytes && was_lenient == lenient => module,
            _ => Module::new(program.filter(&name, &source)?, lenient)?,
        };
        Ok((bytes, module))
    })
    .await?;
    // The place in the file is no part of what it is.
    let as_before = |made: &&Made| {
        let (at, source_at) = (of.at.clone(), of.source_at.clone());
        deployment::Filter { at, source_at, ..made.of.clone() } == *of && made.bytes == bytes
    };
    let earlier = earlier.filter(as_before);
    let plugin = match earlier {
        Some(made) => Arc::clone(&made.plugin),
        None => tried(plugin(of, module), clusters).await?,
    };
    let mut others: Vec<Arc<Plugin>> = Vec::new();
    for configuration in configurations {
        let is = |it: &&Arc<Plugin>| it.configuration == *configuration;
        if others.iter().any(|other| is(&other)) || is(&&plugin) {
            continue;
        }
        let same = earlier.and_then(|made| made.others.iter().find(is));
        others.push(match same {
            Some(same) => Arc::clone(same),
            None => {
                let configuration = configuration.clone();
                tried(Plugin { configuration, ..(*plugin).clone() }, clusters).await?
            }
        });
    }
    Ok(Made { of: of.clone(), bytes, plugin, others })
}

/// Starts and configures it once, away from all requests, and from what answers other filters.
async fn tried(plugin: Plugin, clusters: &Clusters) -> Result<Arc<Plugin>> {
    let (plugin, clusters, runtime) = (Arc::new(plugin), clusters.clone(), Handle::current());
    beside(move || {
        // What it begins needs one.
        let _inside = runtime.enter();
        try_out(&plugin, clusters)?;
        Ok(plugin)
    })
    .await
}

/// What the file says, and where it says nothing what is usual.
fn plugin(of: &deployment::Filter, module: Module) -> Plugin {
    let usual = Limits::default();
    let set = &of.limits;
    let text = |text: &deployment::Text| bytes::Bytes::from(text.reveal().to_owned());
    let environment = of.environment.iter();
    Plugin {
        root_id: of.root_id.as_str().into(),
        vm_id: of.vm_id.as_str().into(),
        vm_configuration: text(&of.vm_configuration),
        configuration: text(&of.configuration),
        environment: environment
            .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
            .collect(),
        capabilities: of.capabilities.as_ref().map(|names| names.iter().cloned().collect()),
        limits: Limits {
            memory: set.memory.unwrap_or(usual.memory),
            table_elements: set.table_elements.unwrap_or(usual.table_elements),
            callback: set.callback.unwrap_or(usual.callback),
            buffer: set.buffer.unwrap_or(usual.buffer),
            calls: set.calls.unwrap_or(usual.calls),
        },
        on_failure: match of.on_failure {
            Some(deployment::OnFailure::Closed) => OnFailure::Closed,
            Some(deployment::OnFailure::Open) => OnFailure::Open,
            Some(deployment::OnFailure::Reload) | None => OnFailure::Reload,
        },
        headers_stop: match of.headers_stop {
            Some(deployment::HeadersStop::Iteration) => HeadersStop::Iteration,
            Some(deployment::HeadersStop::All) | None => HeadersStop::All,
        },
        isolation: match of.isolation {
            Some(deployment::Isolation::Plugin) => Isolation::Plugin,
            Some(deployment::Isolation::Stream) => Isolation::Stream,
            Some(deployment::Isolation::Worker) | None => Isolation::Worker,
        },
        ..Plugin::new(of.name.as_str(), module)
    }
}
