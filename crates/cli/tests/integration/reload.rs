//! SIGHUP: what a new file says is exchanged without a failed request, or not at all.

use crate::support::client::{Connection, beside, get, wait, with};
use crate::support::{Served, deploy, eventually, pause};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use testkit::program::Signal;

fn file(component: &str, more: &str) -> String {
    format!(
        r#"
            name = "reload"
            [component.web]
            source = "{component}.wasm"
            {more}
            [[http.route]]
            component = "web"
        "#
    )
}

/// Sends SIGHUP and waits until the program has said so often what came of it.
fn reload(wharf: &Served, words: &str, times: usize) {
    wharf.program.signal(Signal::SIGHUP);
    wharf.program.wait_until(words, |lines| {
        (lines.iter().filter(|line| line.starts_with(words)).count() == times).then_some(())
    });
}

/// Asks without a pause, on kept and on new connections, until told to stop; returns how often.
async fn load(address: std::net::SocketAddr, stop: Arc<AtomicBool>, two: bool) -> u64 {
    let mut count = 0;
    while !stop.load(Relaxed) {
        let mut connection = Connection::connect(address, two).await.unwrap();
        for _ in 0..20 {
            let answer = connection.ask(get("/x")).await.unwrap();
            let text = answer.text();
            assert_eq!(answer.status, 200, "{text}");
            assert!(text == "Hello, world" || text == "Hello from C, you asked for /x", "{text}");
            count += 1;
        }
    }
    count
}

#[test]
fn components_and_routes_are_exchanged_under_load() {
    let wharf = deploy(&file("hello-p2", ""));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = [false, true, false, true]
        .map(|two| beside(load(wharf.address, Arc::clone(&stop), two)))
        .into();
    for round in 1..=6 {
        let (component, text) = match round % 3 {
            0 => ("hello-p2", "Hello, world"),
            1 => ("hello-c", "Hello from C, you asked for /x"),
            _ => ("hello-p3", "Hello, world"),
        };
        wharf.folder.deploy(&file(component, ""));
        reload(&wharf, "Reloaded", round);
        assert_eq!(wharf.text("/x"), text);
        pause(Duration::from_millis(100));
    }
    stop.store(true, Relaxed);
    let asked: u64 = clients.into_iter().map(|client| wait(client).unwrap()).sum();
    assert!(asked > 100, "{asked}");
}

#[test]
fn new_routes_settings_and_limits_hold_after_it() {
    let wharf = deploy(&file("config-reader", "config = { motd = \"one\" }"));
    assert_eq!(wharf.text("/rc1?k=motd"), "one");
    wharf.folder.deploy(&format!(
        "{}\n[component.echo]\nsource = \"http-echo-p2.wasm\"\n\
         [[http.route]]\nhost = \"echo\"\ncomponent = \"echo\"\n",
        file("config-reader", "config = { motd = \"two\" }")
    ));
    reload(&wharf, "Reloaded", 1);
    assert_eq!(wharf.text("/rc1?k=motd"), "two");
    let mut connection = Connection::http1(wharf.address).unwrap();
    let answer = connection.send(with(get("/y"), "host", "echo")).unwrap();
    assert_eq!(answer.header("x-path"), "/y");
    // And what is gone is gone.
    wharf.folder.deploy(&file("config-reader", ""));
    reload(&wharf, "Reloaded", 2);
    assert_eq!(wharf.get("/rc1?k=motd").status, 404);
    let answer = connection.send(with(get("/y"), "host", "echo")).unwrap();
    assert_eq!(answer.status, 404);
}

#[test]
fn stores_stay_open_and_lose_nothing() {
    let store = |size: u32| {
        let more = format!("config = {{ size = \"{size}\" }}");
        format!("{}\n[keyvalue]\ndefault = \"memory:\"\n", file("kv-draft2", &more))
    };
    let wharf = deploy(&store(0));
    for round in 1..=3 {
        assert_eq!(wharf.text("/incr?k=n&d=1"), round.to_string());
        wharf.folder.deploy(&store(u32::try_from(round).unwrap()));
        reload(&wharf, "Reloaded", round);
    }
    assert_eq!(wharf.text("/get?k=n"), "3");
    // What is in memory survives other settings too.
    let more = store(3).replace("\"memory:\"", "{ url = \"memory:\", max-size = \"1MiB\" }");
    wharf.folder.deploy(&more);
    reload(&wharf, "Reloaded", 4);
    assert_eq!(wharf.text("/get?k=n"), "3");
}

#[test]
fn a_component_whose_file_changed_is_exchanged() {
    let wharf = deploy(&file("hello-p2", ""));
    assert_eq!(wharf.text("/x"), "Hello, world");
    let path = wharf.folder.path().join("hello-p2.wasm");
    fs::remove_file(&path).unwrap();
    fs::copy(testkit::guest("hello-c"), &path).unwrap();
    reload(&wharf, "Reloaded", 1);
    assert_eq!(wharf.text("/x"), "Hello from C, you asked for /x");
}

#[test]
fn a_request_that_runs_ends_with_what_it_began_with() {
    let wharf = deploy(&file("http-stream-p2", ""));
    let mut connection = Connection::http1(wharf.address).unwrap();
    let mut answer = connection.open(get("/drip?n=15&ms=100")).unwrap();
    assert_eq!(answer.piece().unwrap().unwrap(), ".");
    wharf.folder.deploy(&file("hello-p2", ""));
    reload(&wharf, "Reloaded", 1);
    assert_eq!(wharf.text("/"), "Hello, world");
    assert!(answer.rest().unwrap().text().len() > 5);
    assert_eq!(connection.send(get("/")).unwrap().text(), "Hello, world");
}

#[test]
fn watches_miss_nothing_while_their_component_is_exchanged() {
    let watched = |size: usize| {
        file(
            "kv-draft2",
            &format!(
                "[component.watcher]\nsource = \"kv-watch-draft2.wasm\"\n\
                 environment = {{ ROUND = \"{size}\" }}\n\
                 [[watch]]\ncomponent = \"watcher\"\nprefix = \"in/\"\n\
                 [keyvalue]\ndefault = \"memory:\"\n"
            ),
        )
    };
    let wharf = deploy(&watched(0));
    // The first subscription begins beside the first requests.
    eventually("a watch", || {
        assert_eq!(wharf.get("/set?k=in/first&v=x").status, 200);
        (wharf.get("/get?k=seen/in/first").status == 200).then_some(())
    });
    let address = wharf.address;
    let writes = beside(async move {
        let mut connection = Connection::connect(address, false).await.unwrap();
        for number in 0..400 {
            let path = format!("/set?k=in/{number}&v=x");
            assert_eq!(connection.ask(get(&path)).await.unwrap().status, 200);
        }
    });
    for round in 1..=8 {
        wharf.folder.deploy(&watched(round));
        reload(&wharf, "Reloaded", round);
    }
    wait(writes).unwrap();
    for number in 0..400 {
        eventually(&format!("change {number} is told"), || {
            (wharf.get(&format!("/get?k=seen/in/{number}")).status == 200).then_some(())
        });
    }
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let wharf = deploy(&file("hello-p2", ""));
    let good = file("hello-c", "");
    let bad = [
        (file("hello-c", "keyvalu = []"), "unknown key `keyvalu`"),
        (file("exports-nothing", ""), "answers no HTTP"),
        (file("imports-unknown", ""), "acme:rockets/launch@1.2.3"),
        ("name = ".to_owned(), "wharf.toml:1"),
    ];
    for (round, (bad, why)) in bad.iter().enumerate() {
        wharf.folder.deploy(bad);
        reload(&wharf, "Not reloaded: what ran before goes on", round + 1);
        assert!(wharf.program.errors().iter().any(|line| line.contains(why)), "{why}");
        assert_eq!(wharf.text("/x"), "Hello, world");
    }
    wharf.folder.deploy(&good);
    reload(&wharf, "Reloaded", 1);
    assert_eq!(wharf.text("/x"), "Hello from C, you asked for /x");
}

#[test]
fn other_addresses_need_a_restart_and_a_line_says_so() {
    let wharf = deploy(&file("hello-p2", ""));
    wharf.folder.deploy(&format!("{}\n[http]\nthreads = 3\n", file("hello-p2", "")));
    reload(&wharf, "Reloaded", 1);
    wharf.program.wait_for("change only with a restart");
    assert_eq!(wharf.text("/"), "Hello, world");
}
