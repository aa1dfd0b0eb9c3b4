//! The code of an app's components: read and compiled several at once, beside everything else.

use super::component::{limits, reject};
use super::{App, Host, Purpose};
use crate::beside::beside;
use crate::program::Program;
use base::Result;
use deployment::Component;
use engine::{Code, Source, Target, Wasm};
use futures::StreamExt as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// What a component's file holds.
pub(super) struct Found {
    /// Its bytes.
    pub(super) bytes: Arc<[u8]>,
    /// The component in it.
    pub(super) source: Source,
    /// What that compiled to.
    pub(super) code: Code,
}

/// Reads and compiles every component, as many at once as there are processors. What `earlier`
/// compiled of the same file is taken from it.
pub(super) async fn all(app: &deployment::App, host: Host<'_>) -> BTreeMap<String, Result<Found>> {
    // Those of one file one after the other: the second finds in the cache what the first compiled.
    let mut files: BTreeMap<&Path, Vec<Job>> = BTreeMap::new();
    for component in &app.components {
        files.entry(&component.source).or_default().push(Job::new(component, host));
    }
    let found = futures::stream::iter(files.into_values()).map(|jobs| async move {
        let mut found = Vec::new();
        for job in jobs {
            let name = job.name.clone();
            found.push((name, beside(move || job.run()).await));
        }
        found
    });
    let processors = thread::available_parallelism().map_or(1, usize::from);
    found.buffer_unordered(processors).concat().await.into_iter().collect()
}

/// One component to read and compile.
struct Job {
    name: String,
    path: PathBuf,
    target: Target,
    purpose: Purpose,
    earlier: Option<(Arc<[u8]>, Code)>,
    program: Arc<Program>,
}

impl Job {
    fn new(component: &Component, host: Host<'_>) -> Self {
        let target = target(component);
        let same = |earlier: &&super::Loaded| {
            earlier.of.source == component.source && self::target(&earlier.of) == target
        };
        let earlier = host.earlier.and_then(|App { guests, .. }| guests.values().find(same));
        Self {
            name: component.name.clone(),
            path: component.source.clone(),
            target,
            purpose: host.purpose,
            earlier: earlier.map(|same| (Arc::clone(&same.bytes), Code::of(&same.guest))),
            program: Arc::clone(host.program),
        }
    }

    fn run(self) -> Result<Found> {
        let source = Source::read(&self.path)?;
        let bytes = Arc::clone(&source.bytes);
        let source = match (source.wasm, self.purpose) {
            (Wasm::Preview1, Purpose::Run) => source.adapt()?,
            _ => source,
        };
        reject(&source)?;
        let code = match self.earlier {
            Some((known, code)) if known == bytes => code,
            _ => self.program.code(&self.name, &source, self.target)?,
        };
        Ok(Found { bytes, source, code })
    }
}

fn target(component: &Component) -> Target {
    Target { winch: component.engine == deployment::Engine::Winch, stack: limits(component).stack }
}
