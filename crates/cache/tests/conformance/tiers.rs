//! Memory in front of another backend, as two hosts have it.

use crate::{bound_at, place, trial};
use base::Place;
use bytes::Bytes;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wharf_cache::Cache;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("tiers::what_another_host_changes_is_seen_in_time", seen_in_time()),
        trial("tiers::what_is_in_front_ends_with_what_is_behind", ends_with_it()),
        trial("tiers::what_is_in_front_needs_nobody_behind", spared()),
    ]
}

async fn tiers(place: &Place, ttl: &str) -> Arc<dyn Cache> {
    let redis = testkit::servers::url("redis").unwrap();
    let settings = format!("{{ url = 'tiered:', behind = {{ url = '{redis}' }}, ttl = '{ttl}' }}");
    bound_at(&settings, place.clone()).await.unwrap()
}

async fn behind(place: &Place) -> Arc<dyn Cache> {
    let redis = testkit::servers::url("redis").unwrap();
    bound_at(&format!("'{redis}'"), place.clone()).await.unwrap()
}

fn text(value: &str) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

async fn seen_in_time() {
    let place = place();
    let (one, other) = (tiers(&place, "300ms").await, tiers(&place, "300ms").await);
    one.set("key", text("former"), None).await.unwrap();
    assert_eq!(other.get("key").await.unwrap().unwrap(), "former");
    one.set("key", text("new"), None).await.unwrap();
    assert_eq!(one.get("key").await.unwrap().unwrap(), "new", "its own change it sees at once");
    tokio::time::sleep(Duration::from_millis(310)).await;
    assert_eq!(other.get("key").await.unwrap().unwrap(), "new");
    one.delete("key").await.unwrap();
    assert_eq!(one.get("key").await.unwrap(), None);
    tokio::time::sleep(Duration::from_millis(310)).await;
    assert_eq!(other.get("key").await.unwrap(), None);
}

async fn ends_with_it() {
    let place = place();
    let (one, behind) = (tiers(&place, "60s").await, behind(&place).await);
    let ttl = Duration::from_millis(200);
    behind.set("behind", text("value"), Some(ttl)).await.unwrap();
    let stored = Instant::now();
    assert_eq!(one.get("behind").await.unwrap().unwrap(), "value");
    one.set("front", text("value"), Some(ttl)).await.unwrap();
    assert_eq!(one.get("front").await.unwrap().unwrap(), "value");
    tokio::time::sleep_until((stored + ttl + Duration::from_millis(5)).into()).await;
    assert_eq!(one.get("behind").await.unwrap(), None);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(one.get("front").await.unwrap(), None);
}

async fn spared() {
    let server = testkit::servers::redis_with(&[]);
    let url = server.url();
    let settings = format!("{{ url = 'tiered:{url}', ttl = '60s' }}");
    let cache = bound_at(&settings, place()).await.unwrap();
    cache.set("key", text("value"), None).await.unwrap();
    server.crash();
    for _ in 0..100 {
        assert_eq!(cache.get("key").await.unwrap().unwrap(), "value");
    }
    assert!(cache.get("other").await.is_err());
    // Nothing is left here even where nobody could remove what is behind.
    cache.destroy().await.unwrap_err();
    assert!(cache.get("key").await.is_err());
}
