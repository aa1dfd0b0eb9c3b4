//! The bindings that promises are tried in, and how they are removed.

use super::Line;
use base::{Entry, Kind, Place, Result};
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How a binding is thrown away.
pub(crate) type Destroy<C> = fn(Arc<C>) -> BoxFuture<'static, Result<()>>;

/// Bindings of one capability on one server.
pub(super) struct Bindings<C: ?Sized + 'static> {
    capability: &'static str,
    backends: &'static [Entry<C>],
    line: Line,
    folder: PathBuf,
    app: String,
    destroy: Destroy<C>,
    /// Whether one was ever opened.
    has_opened: AtomicBool,
    /// Those that there may be something of.
    made: Mutex<Vec<Made<C>>>,
}

struct Made<C: ?Sized> {
    binding: String,
    /// Not there before it was opened, or where that failed.
    store: Option<Arc<C>>,
}

impl<C: ?Sized + Send + Sync + 'static> Bindings<C> {
    /// None yet. Files lie in `folder`.
    pub(super) fn new(
        capability: &'static str,
        backends: &'static [Entry<C>],
        line: Line,
        folder: &Path,
        destroy: Destroy<C>,
    ) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let app = format!("wharf-conformance-{}-{}", now.as_millis(), std::process::id());
        let (folder, has_opened, made) =
            (folder.to_owned(), AtomicBool::new(false), Mutex::default());
        Self { capability, backends, line, folder, app, destroy, has_opened, made }
    }

    /// Opens one, which is removed by [`remove_all`](Self::remove_all) whatever becomes of it.
    ///
    /// # Errors
    /// What keeps it from being opened.
    pub(super) async fn open(&self, binding: String) -> Result<Arc<C>> {
        self.lock().push(Made { binding: binding.clone(), store: None });
        let store = self.connect(&binding).await?;
        self.has_opened.store(true, Relaxed);
        let mut made = self.lock();
        if let Some(made) =
            made.iter_mut().find(|made| made.binding == binding && made.store.is_none())
        {
            made.store = Some(Arc::clone(&store));
        }
        Ok(store)
    }

    /// Removes what there is of them all.
    ///
    /// # Errors
    /// The first that keeps one from being removed; the others are, and that one is tried again
    /// next time.
    pub(super) async fn remove_all(&self) -> Result<()> {
        let mut outcome = Ok(());
        let all: BTreeSet<String> = self.lock().iter().map(|made| made.binding.clone()).collect();
        for binding in all {
            // It stays in the list until it is gone: this may be given up in the middle.
            match self.remove(&binding).await {
                Ok(()) => self.lock().retain(|made| made.binding != binding),
                Err(error) if outcome.is_ok() => {
                    outcome = Err(error.context("removing what was tried"));
                }
                Err(_) => {}
            }
        }
        outcome
    }

    async fn remove(&self, binding: &str) -> Result<()> {
        let made_of_it = |made: &Made<C>| made.store.clone().filter(|_| made.binding == binding);
        let mut open: Vec<Arc<C>> = self.lock().iter().filter_map(made_of_it).collect();
        if open.is_empty() {
            // What was not opened to the end may be half there. Who never let anybody in has
            // nothing.
            match self.connect(binding).await {
                Ok(store) => open.push(store),
                Err(error) if self.has_opened.load(Relaxed) => return Err(error),
                Err(_) => return Ok(()),
            }
        }
        // Each, where it was opened several times: some keep what only they know of, as leases are.
        for store in open {
            match (self.destroy)(store).await {
                // It ends with this process, or lies in a folder that goes.
                Err(error) if error.kind() == Kind::Unsupported => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    async fn connect(&self, binding: &str) -> Result<Arc<C>> {
        let place = Place {
            base: self.folder.clone(),
            data: self.folder.clone(),
            app: self.app.clone(),
            capability: self.capability,
            binding: binding.to_owned(),
        };
        let line = self.line.for_binding(&self.app, binding);
        base::backend::open_line(self.backends, &line, place).await
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Made<C>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
