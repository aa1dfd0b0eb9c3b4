//! A broker in PostgreSQL, by the time that a table says.

use super::Open;
use futures::FutureExt as _;
use std::sync::{Arc, LazyLock};
use testkit::servers::{Server, postgres_says, postgres_with};
use wharf_messaging::backend::postgres::Postgres;

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let server = postgres_with(&["fsync=off"]);
    postgres_says(&server, "CREATE TABLE clock AS SELECT now()");
    server
});

/// Opens bindings one after the other, in whose time nothing passes by itself.
pub(super) fn opener() -> Open {
    Arc::new(|_clock| {
        let url = format!("postgres://postgres@{}/postgres", SERVER.address());
        let settings = format!("url = '{url}'\ntable = 'model'\nconnections = 8");
        let settings: Postgres = toml::from_str(&settings).unwrap();
        let place = crate::place("/nowhere".as_ref());
        async move { settings.open_by(place, "(SELECT now FROM clock)").await.unwrap() }.boxed()
    })
}

/// Has the time pass, in milliseconds.
pub(super) fn pass(time: u64) {
    postgres_says(&SERVER, &format!("UPDATE clock SET now = now + {time} * interval '1 ms'"));
}
