//! What components and the host write down.

use crate::support::client::{Connection, get, with};
use crate::support::{Folder, Served, deploy, promises};
use serde_json::Value;

promises!([
    both_ids_write_records_that_programs_read,
    what_is_printed_is_logged_too,
    nobody_forges_a_line,
    a_filter_says_who_is_heard,
    who_says_too_much_is_cut_and_counted,
    without_being_asked_for_there_is_no_access_log,
] of logging);

fn serve(guest: &str, args: &[&str]) -> Served {
    let folder = Folder::new();
    folder.guest(guest);
    folder.serve(&[args, &[&format!("{guest}.wasm")]].concat())
}

/// The record with this message.
fn record(wharf: &Served, message: &str) -> Value {
    wharf.program.wait_until(message, |lines| {
        let values = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        values.into_iter().find(|value| value["message"] == message)
    })
}

fn both_ids_write_records_that_programs_read(guest: &str) {
    let wharf = serve(guest, &["--log-format", "json", "--log", "trace"]);
    for id in ["draft", "unversioned"] {
        for level in ["trace", "debug", "info", "warn", "error", "critical"] {
            let path = format!("/{id}?level={level}&context=here&message={id}-{level}");
            let mut connection = Connection::http1(wharf.address).unwrap();
            let asked = with(get(&path), "x-request-id", &format!("{id}-{level}-id"));
            assert_eq!(connection.send(asked).unwrap().text(), "logged");
            let value = record(&wharf, &format!("{id}-{level}"));
            let shown = if level == "critical" { "error" } else { level };
            assert_eq!(value["level"], shown.to_uppercase(), "{value}");
            assert_eq!(value["target"], "guest");
            assert_eq!(value["component"], guest);
            assert_eq!(value["context"], "here");
            assert_eq!(value["request"], format!("{id}-{level}-id"));
            assert_eq!(value["critical"].as_bool(), (level == "critical").then_some(true));
            assert!(value["timestamp"].is_string());
        }
    }
}

fn what_is_printed_is_logged_too(guest: &str) {
    let wharf = serve(guest, &["--log-format", "json"]);
    let asked = with(get("/print?message=ahoy"), "x-request-id", "printed");
    assert_eq!(Connection::http1(wharf.address).unwrap().send(asked).unwrap().text(), "logged");
    let contexts = wharf.program.wait_until("both streams", |lines| {
        let values = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
        let said = values
            .filter(|value: &Value| value["message"] == "ahoy" && value["request"] == "printed");
        let mut contexts: Vec<_> =
            said.map(|value| value["context"].as_str().unwrap().to_owned()).collect();
        contexts.sort_unstable();
        (contexts.len() == 2).then_some(contexts)
    });
    assert_eq!(contexts, ["stderr", "stdout"]);
}

fn nobody_forges_a_line(guest: &str) {
    let wharf = serve(guest, &["--log", "info"]);
    let forged = "one%0A2026-01-01%20WARN%20forged%1B%5B31m";
    assert_eq!(wharf.text(&format!("/draft?level=info&message={forged}")), "logged");
    let line = wharf.program.wait_for("forged");
    assert!(line.contains("one\\n2026-01-01 WARN forged") && !line.contains('\x1b'), "{line}");
}

fn a_filter_says_who_is_heard(guest: &str) {
    for (filter, heard, unheard) in [
        ("info", "info", "debug"),
        ("warn,guest::logging=debug", "debug", "trace"),
        ("info,guest=error", "error", "warn"),
    ] {
        let wharf = serve(guest, &["--log", filter]);
        for level in [unheard, heard] {
            wharf.text(&format!("/draft?level={level}&message=say-{level}"));
        }
        wharf.program.wait_for(&format!("say-{heard}"));
        let unheard = format!("say-{unheard}");
        assert!(!wharf.program.errors().iter().any(|line| line.contains(&unheard)), "{filter}");
    }
    let ended = Folder::new().run(&["serve", "--log", "info,=,", "x.wasm"]);
    assert_ne!(ended.code, Some(0));
}

fn who_says_too_much_is_cut_and_counted(guest: &str) {
    let wharf = deploy(&format!(
        r#"
            name = "talkative"
            [component.web]
            source = "{guest}.wasm"
            limits = {{ log-rate = 10 }}
            [log]
            format = "json"
            [[http.route]]
            component = "web"
        "#
    ));
    assert_eq!(wharf.text("/draft?level=info&message=again&times=5000"), "logged");
    let (said, dropped) = wharf.program.wait_until("a count", |lines| {
        let values = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let (said, other): (Vec<_>, Vec<_>) = values.partition(|it| it["message"] == "again");
        let dropped = other.iter().find_map(|value| value["dropped"].as_u64())?;
        Some((said.len() as u64, dropped))
    });
    assert!(said < 100 && said + dropped >= 4900, "{said} said, {dropped} dropped");
}

#[test]
fn the_access_log_has_a_line_for_each_request() {
    let wharf = deploy(
        r#"
            name = "logged"
            [component.web]
            source = "hello-p2.wasm"
            [http]
            access-log = true
            [log]
            format = "json"
            [[http.route]]
            path = "/here"
            component = "web"
        "#,
    );
    for (path, status) in [("/here/x?secret=1", 200), ("/there", 404)] {
        let id = wharf.get(path).header("x-request-id").to_owned();
        let value = wharf.program.wait_until(path, |lines| {
            let values = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            values.into_iter().find(|value| value["request"] == *id)
        });
        assert_eq!(value["target"], "wharf::access", "{value}");
        assert_eq!((&value["status"], &value["method"]), (&status.into(), &"GET".into()));
        assert_eq!(value["path"], path.split('?').next().unwrap());
        assert_eq!(value["version"], "HTTP/1.1");
        assert!(value["micros"].is_u64());
    }
}

fn without_being_asked_for_there_is_no_access_log(guest: &str) {
    let wharf = serve(guest, &["--log", "trace"]);
    wharf.text("/draft?level=info&message=mark");
    wharf.program.wait_for("mark");
    assert!(!wharf.program.errors().iter().any(|line| line.contains("wharf::access")));
}
