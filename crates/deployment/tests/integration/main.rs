//! What files become: plans, or reports of every mistake in them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod backends;
mod files;
mod reports;
mod secrets;

use backends::{CAPABILITIES, Opened};
use std::path::Path;
use wharf_deployment::{Input, Plan, Report, read};

/// The environment of every test.
fn variable(name: &str) -> Option<String> {
    let value = match name {
        "MOTD" => "good morning",
        "CONCURRENCY" => "17",
        "PORT" => "8443",
        "NOWHERE" => "secret-folder",
        "URL" => "redsi://user:hunter2@host",
        "PASSWORD" => "hunter2",
        "SHORT" => "q7",
        _ => return None,
    };
    Some(value.to_owned())
}

fn read_path(path: &Path) -> Result<Plan<Opened>, Report> {
    read(&Input::new(path, &variable), CAPABILITIES)
}

/// Reads `text` as the deployment file of a new folder.
fn read_text(text: &str) -> Result<Plan<Opened>, Report> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("wharf.toml"), text).unwrap();
    std::fs::write(folder.path().join("web.wasm"), b"\0asm").unwrap();
    read_path(folder.path())
}
