//! The clock of all guests: an epoch every two milliseconds.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use wasmtime::EngineWeak;

/// How long a guest runs before it gives way to its neighbours on the thread.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// One thread that advances the epoch of every engine, until the last of them is gone.
///
/// It sleeps by itself, not by a timer of the runtime: a guest that loops holds its runtime's
/// thread, and only the epoch gets that thread back.
#[derive(Default)]
pub(crate) struct Ticker {
    engines: Arc<Mutex<Vec<EngineWeak>>>,
    started: OnceLock<()>,
}

impl Ticker {
    /// Lets the epoch of `engine` advance from now on.
    pub(crate) fn watch(&self, engine: &wasmtime::Engine) -> std::io::Result<()> {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner).push(engine.weak());
        let mut result = Ok(());
        self.started.get_or_init(|| {
            let engines = Arc::downgrade(&self.engines);
            let thread = thread::Builder::new().name("wharf-ticker".to_owned());
            result = thread.spawn(move || tick(&engines)).map(drop);
        });
        result
    }
}

fn tick(engines: &Weak<Mutex<Vec<EngineWeak>>>) {
    loop {
        #[expect(clippy::disallowed_methods, reason = "a thread of its own, on no runtime")]
        thread::sleep(TICK);
        let Some(engines) = engines.upgrade() else { return };
        let mut engines = engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.retain(|engine| match engine.upgrade() {
            Some(engine) => {
                engine.increment_epoch();
                true
            }
            None => false,
        });
    }
}
