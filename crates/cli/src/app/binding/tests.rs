//! A component that calls what the store behind its binding does not have.

use super::unmet;
use crate::app::problems::Problems;
use crate::app::{App, Host, Purpose};
use crate::args::{Args, Verb};
use crate::capabilities::Opened;
use crate::program::Program;
use crate::serve::plan;
use async_trait::async_trait;
use base::{Error, Kind, Result};
use bytes::Bytes;
use clap::Parser as _;
use keyvalue::{Levels, ListOptions, Offer, Page, Store, Version, Versioned, WriteOptions};
use std::sync::Arc;
use telemetry::Filter;

/// A store that only offers, and keeps nothing.
struct Toy(Offer);

fn toy<T>() -> Result<T> {
    Err(Error::unsupported("it is a toy"))
}

#[async_trait]
impl Store for Toy {
    fn offer(&self) -> &Offer {
        &self.0
    }

    async fn get(&self, _: &str) -> Result<Option<Bytes>> {
        toy()
    }

    async fn versioned(&self, _: &str) -> Result<Option<Versioned>> {
        toy()
    }

    async fn set(&self, _: &str, _: Bytes, _: &WriteOptions) -> Result<Version> {
        toy()
    }

    async fn delete(&self, _: &str, _: &WriteOptions) -> Result<()> {
        toy()
    }

    async fn increment(&self, _: &str, _: i64, _: &WriteOptions) -> Result<i64> {
        toy()
    }

    async fn list(&self, _: &ListOptions) -> Result<Page> {
        toy()
    }
}

/// An app of one guest that lists keys, on a store in memory.
async fn app() -> App {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wharf.toml");
    let source = testkit::guest("kv-draft2");
    let text = format!(
        "name = 'lists'\n[component.web]\nsource = '{}'\n[[http.route]]\ncomponent = 'web'\n\
         [keyvalue]\ndefault = 'memory:'\n",
        source.display()
    );
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let Verb::Serve(args) = Args::parse_from(["wharf", "serve", "--no-cache", &file]).verb else {
        panic!("serve was meant");
    };
    let plan =
        plan(&args.deployment, &[], &args.granted).unwrap_or_else(|_| panic!("a right file"));
    let program = Program::new(&args.common).unwrap_or_else(|_| panic!("an engine"));
    let filter = Filter::parse("info").unwrap();
    let purpose = Purpose::Serve;
    let host = Host { program: &program, filter: &filter, purpose, earlier: None };
    let (app, _) = App::open(plan, host).await.unwrap_or_else(|_| panic!("memory has all of it"));
    app
}

#[tokio::test]
async fn what_a_component_calls_and_its_store_lacks_is_told_with_what_would_do() {
    let mut app = app().await;
    let problems_of = |app: &App| {
        let mut problems = Problems::default();
        unmet(app, &mut problems);
        problems
    };
    assert!(problems_of(&app).is_empty());
    let toy = Toy(Offer {
        backend: "toy 1.0".into(),
        levels: Levels::LOWEST,
        max_key: Offer::MAX_KEY,
        max_value: Offer::MAX_VALUE,
        emulated: Vec::new(),
    });
    app.bindings[0].opened = Opened::KeyValue(Arc::new(toy));
    let unmet = problems_of(&app);
    let [(at, error)] = unmet.found() else { panic!("one function lists: {:?}", unmet.found()) };
    assert!(at.is_some(), "it has its line");
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(
        error.to_string(),
        "component `web` calls `store.bucket.list-keys`, for which keyvalue binding `default` \
         (toy 1.0) lacks list >= unordered (has none)"
    );
    let hint = error.hint().unwrap();
    assert!(hint.starts_with("backends that can offer it: embedded, "), "{hint}");
}
