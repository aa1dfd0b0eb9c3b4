//! What the file says of listeners, and what `check` says of it.

use super::{echo, file, filtered};
use crate::support::Folder;
use crate::support::server::nobody;
use serde_json::{Value, json};
use std::net::TcpListener;

#[test]
fn check_lists_listeners_with_what_is_before_their_upstream() {
    let file = "name = \"tcp\"\n".to_owned() + &filtered(nobody(), "hold = 1", "");
    let folder = Folder::with(&file);
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let line = "tcp db on 127.0.0.1:0 -> f -> upstream up";
    assert!(ended.output.lines().any(|it| it == line), "{}", ended.output);
    let ended = folder.run(&["check", "--format", "json"]);
    let value: Value = serde_json::from_str(&ended.output).unwrap();
    let listener = json!({
        "name": "db", "listen": ["127.0.0.1:0"], "tls": false, "filters": ["f"],
        "leads-to": "upstream up",
    });
    assert_eq!(value["tcp"], json!([listener]));
}

#[test]
fn check_tries_filters_with_the_configuration_of_their_place() {
    let place = "filters = [{ name = \"f\", configuration = { hold = \"long\" } }]";
    let file = file(&[nobody()], place) + "[filter.f]\nsource = \"filter-tcp.wasm\"\n";
    let ended = Folder::with(&file).run(&["check"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("filter `f`"), "{}", ended.errors);
}

#[test]
fn mistakes_have_their_place() {
    let file = file(&[nobody()], "filters = [\"nobody\"]\nidle = \"1h\"");
    let folder = Folder::with(&file.replace("\"up\"\n", "\"pu\"\n"));
    let ended = folder.run(&["check", "--format", "json"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    let value: Value = serde_json::from_str(&ended.output).unwrap();
    let mistakes = value["mistakes"].as_array().unwrap();
    let found: Vec<_> = mistakes.iter().map(|it| (&it["line"], &it["column"])).collect();
    assert_eq!(found, [(&3.into(), &12.into()), (&4.into(), &12.into()), (&5.into(), &1.into())]);
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::with(&file(&[echo()], "").replace("127.0.0.1:0", &address));
    let ended = folder.run(&["serve"]);
    assert_eq!(ended.code, Some(69), "{}", ended.errors);
    for words in ["listener `db`", address.as_str(), "[tcp.db]"] {
        assert!(ended.errors.contains(words), "{words} in {}", ended.errors);
    }
}
