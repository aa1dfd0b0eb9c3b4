//! Two hosts on one store, and a store that does not answer.

use super::*;
use async_trait::async_trait;
use base::Error;
use keyvalue::{Clock, ListOptions, Offer, Page, backend::memory::Memory};
use std::thread;
use tokio::runtime::Runtime;

/// Longer than any answer takes.
const LONG: Duration = Duration::from_secs(60);

/// A store that answers after a while.
struct Slow {
    store: Arc<dyn Store>,
    delay: Mutex<Duration>,
}

impl Slow {
    fn new() -> Arc<Self> {
        let store = Memory { url: "memory:".to_owned(), max_size: "16MiB".parse().unwrap() };
        let store = Arc::new(store.store(Clock::default()));
        Arc::new(Self { store, delay: Mutex::default() })
    }

    async fn wait(&self) {
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
    }

    fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }
}

#[async_trait]
impl Store for Slow {
    fn offer(&self) -> &Offer {
        self.store.offer()
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.store.get(key).await
    }

    async fn versioned(&self, key: &str) -> Result<Option<Versioned>> {
        self.wait().await;
        self.store.versioned(key).await
    }

    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        self.wait().await;
        self.store.set(key, value, options).await
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        self.store.delete(key, options).await
    }

    async fn increment(&self, _key: &str, _by: i64, _options: &WriteOptions) -> Result<i64> {
        Err(Error::invalid("nobody asks for that"))
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        self.store.list(options).await
    }
}

/// A store, and so many hosts that keep data in it and wait for it for so long.
fn hosts(number: usize, wait: Duration) -> (Runtime, Arc<Slow>, Vec<Arc<Kept>>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let store = Slow::new();
    let hosts = {
        let _inside = runtime.enter();
        let shared = Arc::clone(&store) as Arc<dyn Store>;
        (0..number).map(|_| Kept::new(&shared, wait)).collect()
    };
    (runtime, store, hosts)
}

fn text(found: Option<(Bytes, u32)>) -> (String, u32) {
    let (value, number) = found.unwrap();
    (String::from_utf8(value.to_vec()).unwrap(), number)
}

#[test]
fn numbers_are_right_across_hosts() {
    let (_runtime, _store, hosts) = hosts(2, LONG);
    let [here, there] = &*hosts else { panic!() };
    assert_eq!(here.get("vm", b"k"), Ok(None));
    here.set("vm", b"k", "1".into(), 0).unwrap();
    let (value, seen_there) = text(there.get("vm", b"k").unwrap());
    assert_eq!(value, "1");
    let (_, seen_here) = text(here.get("vm", b"k").unwrap());
    here.set("vm", b"k", "2".into(), seen_here).unwrap();
    // What was read here before is another host's past.
    let late = there.set("vm", b"k", "3".into(), seen_there);
    assert_eq!(late, Err(Status::CasMismatch));
    let (value, seen_there) = text(there.get("vm", b"k").unwrap());
    assert_eq!(value, "2", "who came late looks again");
    there.set("vm", b"k", "3".into(), seen_there).unwrap();
    assert_eq!(here.set("vm", b"k", "4".into(), seen_here), Err(Status::CasMismatch));
    // Data is that of a `vm_id`; a new key takes any number, and no other key does.
    assert_eq!(here.get("other", b"k"), Ok(None));
    here.set("other", b"k", "x".into(), 12345).unwrap();
    assert_eq!(there.set("other", b"k", "y".into(), 12345), Err(Status::CasMismatch));
}

#[test]
fn swaps_of_many_threads_and_hosts_add_up() {
    let (_runtime, _store, hosts) = hosts(3, LONG);
    let add = |host: &Kept| {
        for _ in 0..50 {
            loop {
                let found = host.get("vm", b"sum").unwrap();
                let (value, number) = found.unwrap_or(("0".into(), 1));
                let sum = std::str::from_utf8(&value).unwrap().parse::<u32>().unwrap() + 1;
                match host.set("vm", b"sum", sum.to_string().into(), number) {
                    Ok(()) => break,
                    Err(status) => assert_eq!(status, Status::CasMismatch, "none is late here"),
                }
            }
        }
    };
    thread::scope(|scope| {
        for host in hosts.iter().chain(&hosts) {
            scope.spawn(move || add(host));
        }
    });
    let sum = hosts.iter().map(|host| {
        // What another host wrote last shows within a second, or without a memory.
        host.known().clear();
        text(host.get("vm", b"sum").unwrap()).0
    });
    assert_eq!(sum.collect::<Vec<_>>(), ["300", "300", "300"]);
}

#[test]
fn a_host_sees_its_own_writes_at_once_and_others_within_a_second() {
    let (_runtime, _store, hosts) = hosts(2, LONG);
    let [here, there] = &*hosts else { panic!() };
    there.set("vm", b"k", "old".into(), 0).unwrap();
    for value in ["1", "2", "3"] {
        here.set("vm", b"k", value.into(), 0).unwrap();
        assert_eq!(text(here.get("vm", b"k").unwrap()).0, value);
    }
    let end = Instant::now() + FRESH * 3;
    while text(there.get("vm", b"k").unwrap()).0 != "3" {
        assert!(Instant::now() < end, "it does not show");
        thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_store_that_is_late_is_waited_for_only_so_long() {
    let (_runtime, store, hosts) = hosts(1, Duration::from_millis(50));
    let [host] = &*hosts else { panic!() };
    host.set("vm", b"k", "1".into(), 0).unwrap();
    store.delay(Duration::from_secs(60));
    let begun = Instant::now();
    assert_eq!(host.set("vm", b"k", "2".into(), 0), Err(Status::InternalFailure));
    for _ in 0..100 {
        assert_eq!(host.get("vm", b"other"), Err(Status::InternalFailure));
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "each was waited for");
    store.delay(Duration::ZERO);
    let end = Instant::now() + PAUSE * 5;
    // What became of the second write nobody was told; it was given up.
    while host.get("vm", b"k").map(|found| text(found).0) != Ok("1".to_owned()) {
        assert!(Instant::now() < end, "it is never asked again");
        thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn keys_are_text_and_never_the_same_for_two() {
    let names =
        [("a", &b"b/c"[..]), ("a/b", b"c"), ("a", b"b%2Fc"), ("", b"a"), ("a", b""), ("", b"\xff")];
    let names: std::collections::BTreeSet<_> =
        names.into_iter().map(|(vm_id, key)| name(vm_id, key)).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(names.contains("filters/a/b%2Fc") && names.contains("filters//%FF"));
}
