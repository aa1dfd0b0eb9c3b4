//! What deployment files say of filters: mistakes, configurations, reloads.

use super::{check, component, file};
use crate::support::client::{Connection, get};
use crate::support::{Folder, eventually};
use testkit::program::Signal;

#[test]
fn mistakes_stand_under_their_lines() {
    let unknown = file("filter-add", "", &component()).replace("[\"f\"]", "[\"g\"]");
    let ended = check(&unknown);
    assert_eq!(ended.code, Some(64));
    assert!(ended.errors.contains("unknown filter `g`"), "{}", ended.errors);
    let wrong = file("filter-add", "on-failure = \"opened\"\nspeed = 1", &component());
    let ended = check(&wrong);
    for part in ["`opened`", "did you mean `open`", "`speed`"] {
        assert!(ended.errors.contains(part), "{part}: {}", ended.errors);
    }
}

#[test]
fn what_a_filter_may_use_is_known_by_name() {
    let names = ["proxy_lgo", "proxy_on_request_header", "fd_wriet", "teleport", "malloc"];
    let keys = format!("capabilities = {names:?}");
    let wrong = file("filter-add", &keys, &component());
    let (line, text) = wrong.lines().enumerate().find(|(_, it)| **it == *keys).unwrap();
    // Refused by both, each name where it stands.
    for verb in ["check", "serve"] {
        let ended = Folder::with(&wrong).run(&[verb]);
        assert_eq!(ended.code, Some(64), "{verb}: {}", ended.errors);
        for (name, hint) in names.iter().zip([
            "did you mean `proxy_log`?",
            "did you mean `proxy_on_request_headers`?",
            "did you mean `fd_write`?",
            "host calls, callbacks and functions of WASI, such as `proxy_log`",
            "host calls, callbacks and functions of WASI, such as `proxy_log`",
        ]) {
            let column = text.find(&format!("{name:?}")).unwrap() + 1;
            let place = format!("wharf.toml:{}:{column}", line + 1);
            let said: Vec<&str> = ended.errors.lines().collect();
            let at = said.iter().position(|it| it.ends_with(&place)).expect(&place);
            assert_eq!(said[at - 1], format!("error: unknown capability `{name}`"), "{verb}");
            let shown = &said[at..said.len().min(at + 7)];
            assert!(shown.iter().any(|it| it.contains(hint)), "{name}: {shown:?}");
        }
    }
    // Those that there are restrict it; it needs more than this one to run.
    let right = "capabilities = [\"proxy_log\", \"proxy_on_context_create\", \"random_get\"]";
    let ended = check(&file("filter-add", right, &component()));
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
}

#[test]
fn filters_are_listed() {
    let ended = check(&file("filter-c-old", "", &component()));
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    for line in ["filter f of Proxy-Wasm 0.1.0", "route */ -> f -> web"] {
        assert!(ended.output.lines().any(|said| said == line), "{line}\n{}", ended.output);
    }
}

#[test]
fn what_is_no_filter_is_said_to_be_what_it_is() {
    let ended = check(&file("hello-p2", "", &component()));
    assert_eq!(ended.code, Some(64));
    assert!(ended.errors.contains("filter `f`"), "{}", ended.errors);
    assert!(ended.errors.contains("is a component"), "{}", ended.errors);
}

#[test]
fn a_configuration_that_the_filter_refuses_is_a_mistake() {
    let keys = "configuration = { nonsense = true }";
    let ended = check(&file("filter-headers", keys, &component()));
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("refuses its configuration"), "{}", ended.errors);
}

#[test]
fn a_route_may_have_a_configuration_of_its_own_and_the_server_filters_for_all() {
    let set = |name: &str, value: &str| {
        format!("{{ response = {{ set = [[\"{name}\", \"{value}\"]] }} }}")
    };
    let text = format!(
        "name = \"several\"\n[http]\nfilters = [{{ name = \"f\", configuration = {} }}]\n\
         [filter.f]\nsource = \"filter-headers.wasm\"\nconfiguration = {}\n\
         [[http.route]]\nfilters = [\"f\"]\ncomponent = \"web\"\n\
         [[http.route]]\npath = \"/own\"\ncomponent = \"web\"\n\
         filters = [{{ name = \"f\", configuration = {} }}]\n\
         [component.web]\nsource = \"http-echo-p2.wasm\"\n",
        set("x-all", "1"),
        set("x-one", "usual"),
        set("x-one", "own"),
    );
    let wharf = Folder::with(&text).serve(&[]);
    let (usual, own) = (wharf.get("/"), wharf.get("/own"));
    assert_eq!((usual.header("x-all"), usual.header("x-one")), ("1", "usual"));
    assert_eq!((own.header("x-all"), own.header("x-one")), ("1", "own"));
}

#[test]
fn a_reload_swaps_filters_without_a_failed_request() {
    let text = |value: &str| {
        let keys =
            format!("configuration = {{ response = {{ set = [[\"x-is\", \"{value}\"]] }} }}");
        file("filter-headers", &keys, &component())
    };
    let folder = Folder::with(&text("old"));
    let wharf = folder.serve(&[]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut connection = Connection::http1(wharf.address).unwrap();
            let mut count = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = connection.send(get("/")).unwrap();
                assert_eq!(answer.status, 200);
                assert!(["old", "new", "newer"].contains(&answer.header("x-is")));
                count += 1;
            }
            count
        });
        for value in ["new", "newer"] {
            wharf.folder.deploy(&text(value));
            wharf.program.signal(Signal::SIGHUP);
            eventually("the new configuration", || {
                (wharf.get("/").header("x-is") == value).then_some(())
            });
        }
        // A filter that refuses its configuration changes nothing.
        let wrong = "configuration = { nonsense = true }";
        wharf.folder.deploy(&file("filter-headers", wrong, &component()));
        wharf.program.signal(Signal::SIGHUP);
        eventually("the refusal", || {
            let log = wharf.program.errors().join("\n");
            log.contains("Not reloaded").then_some(())
        });
        assert_eq!(wharf.get("/").header("x-is"), "newer");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(asking.join().unwrap() > 0);
    });
}
