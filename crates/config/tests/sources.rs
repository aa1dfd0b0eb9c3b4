//! What every source of configuration must do, and every source doing it.
#![expect(clippy::unwrap_used, reason = "it is how a test fails")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wharf_config::{BACKENDS, Layers, Snapshot, Source};

/// A backend, and a place where the test can write what it will read.
struct Stage {
    dir: TempDir,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Files in a directory.
    Dir,
    /// Files in a directory as a cluster mounts them: links through a link that is swapped.
    Mounted,
    Dotenv,
    Toml,
    Json,
}

impl Stage {
    fn new(kind: Kind) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), kind }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(match self.kind {
            Kind::Dir | Kind::Mounted => "values",
            Kind::Dotenv => ".env",
            Kind::Toml => "values.toml",
            Kind::Json => "values.json",
        })
    }

    /// Opens the source, which looks for changes many times a second.
    async fn open(&self) -> base::Result<Arc<dyn Source>> {
        let scheme = match self.kind {
            Kind::Dir | Kind::Mounted => "dir",
            Kind::Dotenv => "dotenv",
            Kind::Toml | Kind::Json => "file",
        };
        let url = format!("{scheme}:{}", self.path().display());
        let text = format!("binding = {{ url = {url:?}, reload = '10ms' }}");
        let table = toml::de::DeTable::parse(&text).unwrap().into_inner();
        let (_, opening) =
            base::backend::choose(BACKENDS, table.get("binding").unwrap().clone()).unwrap();
        opening(place()).await
    }

    /// Opens the source with `pairs` in it.
    async fn with(&self, pairs: &[(&str, &str)]) -> (Arc<dyn Source>, Layers) {
        self.write(pairs);
        let source = self.open().await.unwrap();
        let layers = Layers::new(Snapshot::default(), vec![Arc::clone(&source)]);
        (source, layers)
    }

    /// Replaces everything by `pairs`, as careful people do it: in one step where there is one.
    fn write(&self, pairs: &[(&str, &str)]) {
        let text: String = match self.kind {
            Kind::Dir => return self.write_files(pairs),
            Kind::Mounted => return self.mount(pairs),
            Kind::Dotenv => pairs.iter().map(|(k, v)| format!("{k}='{v}'\n")).collect(),
            Kind::Toml => pairs.iter().map(|(k, v)| format!("{k} = {v:?}\n")).collect(),
            Kind::Json => {
                let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{k:?}: {v:?}")).collect();
                format!("{{{}}}", pairs.join(","))
            }
        };
        let new = self.dir.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path()).unwrap();
    }

    /// One file after the other; there is no single step for that.
    fn write_files(&self, pairs: &[(&str, &str)]) {
        fs::create_dir_all(self.path()).unwrap();
        for (key, value) in pairs {
            fs::write(self.path().join(key), value).unwrap();
        }
        for entry in fs::read_dir(self.path()).unwrap() {
            let entry = entry.unwrap();
            if !pairs.iter().any(|(key, _)| entry.file_name() == *key) {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    /// A new directory, the link `..data` moved over to it, and links that lead nowhere removed.
    fn mount(&self, pairs: &[(&str, &str)]) {
        let path = self.path();
        fs::create_dir_all(&path).unwrap();
        let version = tempfile::Builder::new().prefix("..v").tempdir_in(&path).unwrap().keep();
        for (key, value) in pairs {
            fs::write(version.join(key), value).unwrap();
        }
        let old = fs::read_link(path.join("..data")).ok();
        symlink(version.file_name().unwrap(), path.join("..data_new")).unwrap();
        fs::rename(path.join("..data_new"), path.join("..data")).unwrap();
        for (key, _) in pairs {
            if path.join(key).symlink_metadata().is_err() {
                symlink(Path::new("..data").join(key), path.join(key)).unwrap();
            }
        }
        for entry in fs::read_dir(&path).unwrap() {
            let link = entry.unwrap().path();
            if link.metadata().is_err() {
                fs::remove_file(link).unwrap();
            }
        }
        if let Some(old) = old {
            fs::remove_dir_all(path.join(old)).unwrap();
        }
    }

    /// Makes it unreadable without taking it away.
    fn spoil(&self) {
        match self.kind {
            Kind::Dir => fs::write(self.path().join("a"), b"s3cret\xff").unwrap(),
            Kind::Mounted => fs::write(self.path().join("..data/a"), b"s3cret\xff").unwrap(),
            Kind::Dotenv | Kind::Toml | Kind::Json => {
                fs::write(self.path(), b"a = 's3cret\xff").unwrap();
            }
        }
    }
}

fn place() -> base::Place {
    let (app, binding) = ("app".to_owned(), "default".to_owned());
    base::Place { base: PathBuf::new(), data: PathBuf::new(), app, capability: "config", binding }
}

/// Waits until the component would see `value`.
async fn until(layers: &Layers, key: &str, value: Option<&str>) {
    let start = Instant::now();
    while layers.current().get(key) != value {
        assert!(start.elapsed() < Duration::from_secs(30), "no {key} = {value:?}: {layers:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Every promise, for every source.
macro_rules! promises {
    ($sources:tt: $($promise:ident)*) => { $(promises!(@each $promise $sources);)* };
    (@each $promise:ident [$($module:ident $kind:ident),*]) => {
        mod $promise {
            $(#[tokio::test]
            async fn $module() {
                super::$promise(super::Stage::new(super::Kind::$kind)).await;
            })*
        }
    };
}

promises! {
    [dir Dir, mounted Mounted, dotenv Dotenv, toml Toml, json Json]:
    what_was_written_is_read
    what_is_not_there_is_named
    a_change_arrives_and_a_held_snapshot_stays
    a_bad_state_keeps_the_old_one_until_it_is_mended
    a_source_that_goes_away_keeps_the_old_state
    readers_never_see_half_a_change
    a_rewrite_in_place_is_seen
}

async fn what_was_written_is_read(stage: Stage) {
    let (_, layers) = stage.with(&[("a", "two words"), ("empty", ""), ("world", "世界 = #")]).await;
    let seen = layers.current();
    let expected = [("a", "two words"), ("empty", ""), ("world", "世界 = #")];
    assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
    assert_eq!(seen.get("nothing"), None);
    assert_eq!(format!("{layers:?}"), r#"Layers({"a", "empty", "world"})"#);
}

async fn what_is_not_there_is_named(stage: Stage) {
    let error = stage.open().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), base::Kind::NotFound);
    assert!(error.to_string().contains(stage.path().to_str().unwrap()), "{error}");

    stage.write(&[("a", "1")]);
    stage.spoil();
    let error = stage.open().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), base::Kind::Invalid);
    assert!(error.to_string().contains(stage.path().to_str().unwrap()), "{error}");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

async fn a_change_arrives_and_a_held_snapshot_stays(stage: Stage) {
    let (source, layers) = stage.with(&[("a", "1"), ("b", "1")]).await;
    let mut states = source.subscribe();
    let held = layers.current();
    stage.write(&[("a", "2"), ("c", "2")]);
    until(&layers, "a", Some("2")).await;
    until(&layers, "b", None).await;
    assert_eq!(layers.current().get("c"), Some("2"));
    assert_eq!(held.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "1")]);
    states.changed().await.unwrap();
    assert_eq!(states.borrow_and_update().get("a"), Some("2"));
}

async fn a_bad_state_keeps_the_old_one_until_it_is_mended(stage: Stage) {
    let (_, layers) = stage.with(&[("a", "1")]).await;
    stage.spoil();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(layers.current().get("a"), Some("1"));
    stage.write(&[("a", "3")]);
    until(&layers, "a", Some("3")).await;
}

async fn a_source_that_goes_away_keeps_the_old_state(stage: Stage) {
    let (_, layers) = stage.with(&[("a", "1")]).await;
    let away = stage.dir.path().join("away");
    fs::rename(stage.path(), &away).unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(layers.current().get("a"), Some("1"));
    fs::rename(away, stage.path()).unwrap();
    stage.write(&[("a", "2")]);
    until(&layers, "a", Some("2")).await;
}

/// Two values always change together; whoever reads must find them equal.
async fn readers_never_see_half_a_change(stage: Stage) {
    let (_, layers) = stage.with(&[("a", "0"), ("b", "0")]).await;
    let (layers, done) = (Arc::new(layers), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (layers, done) = (Arc::clone(&layers), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut reads = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    let seen = layers.current();
                    assert_eq!(seen.get("a"), seen.get("b"), "half a change");
                    assert!(seen.get("a").is_some());
                    reads += 1;
                    std::thread::yield_now();
                }
                reads
            })
        })
        .collect();
    for round in 1..=5 {
        let value = round.to_string();
        stage.write(&[("a", &value), ("b", &value)]);
        until(&layers, "a", Some(&value)).await;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
}

/// Same length, same file, same second: only looking again finds it.
async fn a_rewrite_in_place_is_seen(stage: Stage) {
    let (_, layers) = stage.with(&[("a", "1")]).await;
    for value in ["2", "3", "4"] {
        let file = match stage.kind {
            Kind::Dir => stage.path().join("a"),
            Kind::Mounted => stage.path().join("..data/a"),
            Kind::Dotenv | Kind::Toml | Kind::Json => stage.path(),
        };
        let before = layers.current().get("a").unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap().replace(&before, value);
        fs::write(&file, text).unwrap();
        until(&layers, "a", Some(value)).await;
    }
}

#[tokio::test]
async fn the_environment_is_read_by_prefix() {
    let source = base::backend::open(BACKENDS, "env:CARGO_PKG_", place()).await.unwrap();
    let seen = source.subscribe().borrow().clone();
    assert_eq!(seen.get("NAME"), Some("wharf-config"));
    assert_eq!(seen.get("PATH"), None);
}

#[test]
fn every_example_is_right() {
    for entry in BACKENDS {
        let text = format!("x = {:?}", entry.example);
        let table = toml::de::DeTable::parse(&text).unwrap().into_inner();
        let (name, _) = base::backend::choose(BACKENDS, table.get("x").unwrap().clone()).unwrap();
        assert_eq!(name, entry.name);
    }
}
