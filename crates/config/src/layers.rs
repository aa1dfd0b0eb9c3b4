//! Sources above each other, seen as one.

use crate::{Snapshot, Source};
use arc_swap::ArcSwap;
use futures::future::select_all;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch::Receiver;
use tokio_util::task::AbortOnDropHandle;

/// The configuration of one component: values of the deployment file, and sources over them.
///
/// A later source covers an earlier one, and every source covers the values of the file, which
/// are therefore what a deployment starts from and can override.
pub struct Layers {
    current: Arc<ArcSwap<Snapshot>>,
    // Sources live as long as somebody holds them, and this follows its own.
    _sources: Vec<Arc<dyn Source>>,
    _follow: Option<AbortOnDropHandle<()>>,
}

/// One source, as it was and as it will be.
struct Layer {
    states: Receiver<Arc<Snapshot>>,
    ended: bool,
}

impl Layers {
    /// Lays `sources` over `inline` and follows them from now on.
    ///
    /// Needs a Tokio runtime where there are sources.
    pub fn new(inline: Snapshot, sources: Vec<Arc<dyn Source>>) -> Self {
        let mut layers: Vec<_> = sources
            .iter()
            .map(|source| Layer { states: source.subscribe(), ended: false })
            .collect();
        let current = Arc::new(ArcSwap::from_pointee(merge(&inline, &mut layers)));
        let follow = (!layers.is_empty()).then(|| {
            let task = follow(inline, layers, Arc::clone(&current));
            #[expect(clippy::disallowed_methods, reason = "it ends with the layers, not before")]
            AbortOnDropHandle::new(tokio::spawn(task))
        });
        Self { current, _sources: sources, _follow: follow }
    }

    /// The present values, for one request from its beginning to its end. Never waits.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
}

impl Default for Layers {
    fn default() -> Self {
        Self::new(Snapshot::default(), Vec::new())
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layers").field(&self.current()).finish()
    }
}

async fn follow(inline: Snapshot, mut layers: Vec<Layer>, current: Arc<ArcSwap<Snapshot>>) {
    loop {
        let living = layers.iter_mut().enumerate().filter(|(_, layer)| !layer.ended);
        let changes: Vec<_> = living
            .map(|(index, layer)| {
                Box::pin(async move { (index, layer.states.changed().await.is_err()) })
            })
            .collect();
        if changes.is_empty() {
            return;
        }
        let ((index, ended), ..) = select_all(changes).await;
        if ended {
            layers.get_mut(index).into_iter().for_each(|layer| layer.ended = true);
        } else {
            current.store(Arc::new(merge(&inline, &mut layers)));
        }
    }
}

fn merge(inline: &Snapshot, layers: &mut [Layer]) -> Snapshot {
    let mut merged = inline.clone();
    for layer in layers {
        merged.cover(&layer.states.borrow_and_update());
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::watch::Sender;

    struct Toy(Sender<Arc<Snapshot>>);

    impl Source for Toy {
        fn subscribe(&self) -> Receiver<Arc<Snapshot>> {
            self.0.subscribe()
        }
    }

    fn snapshot(pairs: &[(&str, &str)]) -> Snapshot {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn toy(pairs: &[(&str, &str)]) -> Arc<Toy> {
        Arc::new(Toy(Sender::new(Arc::new(snapshot(pairs)))))
    }

    async fn until(layers: &Layers, key: &str, value: &str) {
        while layers.current().get(key) != Some(value) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_last_source_is_seen_and_the_file_is_at_the_bottom() {
        let inline = snapshot(&[("a", "file"), ("b", "file"), ("c", "file")]);
        let (low, high) = (toy(&[("b", "low"), ("c", "low")]), toy(&[("c", "high")]));
        let layers = Layers::new(inline, vec![Arc::clone(&low) as _, high]);
        let seen = layers.current();
        assert_eq!(*seen, snapshot(&[("a", "file"), ("b", "low"), ("c", "high")]));
        low.0.send_replace(Arc::new(snapshot(&[("c", "low"), ("d", "low")])));
        until(&layers, "d", "low").await;
        let now = snapshot(&[("a", "file"), ("b", "file"), ("c", "high"), ("d", "low")]);
        assert_eq!(*layers.current(), now);
        // What a request holds stays as it was.
        assert_eq!(seen.get("b"), Some("low"));
    }

    #[tokio::test]
    async fn a_source_that_ends_leaves_its_last_state_and_the_others_go_on() {
        let (ends, goes_on) = (toy(&[("a", "1")]), toy(&[("b", "1")]));
        let mut layers = Layers::new(
            Snapshot::default(),
            vec![Arc::clone(&ends) as _, Arc::clone(&goes_on) as _],
        );
        layers._sources.clear();
        drop(ends);
        goes_on.0.send_replace(Arc::new(snapshot(&[("b", "2")])));
        until(&layers, "b", "2").await;
        assert_eq!(*layers.current(), snapshot(&[("a", "1"), ("b", "2")]));
    }

    #[test]
    fn values_of_the_file_alone_need_no_runtime() {
        let layers = Layers::new(snapshot(&[("a", "secret")]), Vec::new());
        assert_eq!(layers.current().get("a"), Some("secret"));
        assert_eq!(format!("{layers:?}"), r#"Layers({"a"})"#);
    }
}
