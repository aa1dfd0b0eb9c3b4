//! How filters stand, as the operator's address tells.

use super::component;
use crate::admin::{free, health};
use crate::support::client::{Connection, get, with};
use crate::support::{Served, deploy, eventually};
use serde_json::Value;
use std::net::SocketAddr;
use testkit::program::Signal;

/// A filter that crashes on demand, on one thread.
fn file(admin: SocketAddr, keys: &str, filters: &str) -> String {
    format!(
        "name = \"filtered\"\n[http]\nthreads = 1\nadmin = \"{admin}\"\n\
         [filter.f]\nsource = \"filter-crash.wasm\"\n{keys}\n\
         [[http.route]]\nfilters = [{filters}]\n{}\n",
        component()
    )
}

fn crash(wharf: &Served) -> u16 {
    let asked = with(with(get("/"), "x-crash", "request-headers"), "x-crash-how", "trap");
    Connection::http1(wharf.address).unwrap().send(asked).unwrap().status
}

/// The filter's entry, whose counts of threads are these.
fn stands(admin: SocketAddr, running: u64, restarting: u64, waiting: u64, away: u64) -> Value {
    let name = format!("{running} {restarting} {waiting} {away}");
    eventually(&name, || {
        let entry = health(admin)["filters"]["f"].clone();
        let is = |key: &str, count: u64| entry[key] == count;
        (is("running", running)
            && is("restarting", restarting)
            && is("waiting", waiting)
            && is("away", away))
        .then_some(entry)
    })
}

#[test]
fn a_filter_that_crashes_is_told_of_until_it_runs_again() {
    let admin = free();
    let wharf = deploy(&file(admin, "", "\"f\""));
    let well = stands(admin, 1, 0, 0, 0);
    assert_eq!((&well["failures"], &well["last-failure"]), (&0.into(), &Value::Null));
    assert_eq!(crash(&wharf), 503);
    let failed = stands(admin, 0, 1, 0, 0);
    assert_eq!(failed["failures"], 1);
    let why = failed["last-failure"].as_str().unwrap();
    assert!(!why.is_empty() && !why.contains('\n') && why.len() <= 200, "{why}");
    // The next request finds it anew.
    assert_eq!(wharf.get("/").status, 200);
    let again = stands(admin, 1, 0, 0, 0);
    assert_eq!((&again["failures"], &again["wait-ms"]), (&1.into(), &0.into()));
    // Once too often: it is left alone for a while, and then it may try again.
    for _ in 0..5 {
        assert_eq!(crash(&wharf), 503);
    }
    let waiting = stands(admin, 0, 0, 1, 0);
    assert!((1..=1000).contains(&waiting["wait-ms"].as_u64().unwrap()), "{waiting}");
    eventually("it runs again", || (wharf.get("/").status == 200).then_some(()));
    stands(admin, 1, 0, 0, 0);
}

#[test]
fn a_filter_that_stays_away_is_told_of() {
    for (on_failure, status) in [("closed", 503), ("open", 200)] {
        let admin = free();
        let wharf = deploy(&file(admin, &format!("on-failure = \"{on_failure}\""), "\"f\""));
        stands(admin, 1, 0, 0, 0);
        assert_eq!(crash(&wharf), status);
        stands(admin, 0, 0, 0, 1);
        assert_eq!(wharf.get("/").status, status);
        stands(admin, 0, 0, 0, 1);
    }
}

#[test]
fn each_thread_and_each_configuration_counts_and_a_new_file_counts_anew() {
    let admin = free();
    let several = "\"f\", { name = \"f\", configuration = { at = \"nowhere\" } }";
    let text = file(admin, "", several).replace("threads = 1", "threads = 2");
    let wharf = deploy(&text);
    stands(admin, 4, 0, 0, 0);
    // The same filter before nothing.
    wharf.folder.deploy(&text.replace(&format!("filters = [{several}]"), ""));
    wharf.program.signal(Signal::SIGHUP);
    eventually("nobody has it", || {
        (health(admin)["filters"] == serde_json::json!({})).then_some(())
    });
    wharf.folder.deploy(&text.replace(several, "\"f\""));
    wharf.program.signal(Signal::SIGHUP);
    stands(admin, 2, 0, 0, 0);
}

#[test]
fn streams_of_their_own_crash_without_the_filter() {
    let admin = free();
    let wharf = deploy(&file(admin, "isolation = \"stream\"", "\"f\""));
    stands(admin, 1, 0, 0, 0);
    assert_eq!(crash(&wharf), 503);
    assert_eq!(stands(admin, 1, 0, 0, 0)["failures"], 1);
}
