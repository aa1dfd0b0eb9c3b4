//! `wharf inspect`: what a file is, what it asks for, what it gives.

use crate::args::{Format, InspectArgs};
use crate::capabilities;
use crate::console;
use crate::exit::Failure;
use engine::{Source, WASI, Wasm, unserved};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Shows a file without compiling it.
pub(crate) fn inspect(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let source = Source::read(&args.file)?;
    let outline = source.outline();
    let capabilities = capabilities::served();
    let served: Vec<&str> = WASI.iter().chain(&capabilities).copied().collect();
    let component = matches!(source.wasm, Wasm::Component { .. });
    let imports: Vec<(String, Option<String>)> = outline
        .imports
        .into_iter()
        .map(|name| {
            let hint =
                if component { unserved(&name, &served).map(|missing| missing.hint) } else { None };
            (name, hint)
        })
        .collect();
    let text = match args.format {
        Format::Json => json(&source, component, &imports, &outline.exports),
        Format::Text => text(&source, component, &imports, &outline.exports),
    };
    console::give(&text);
    Ok(ExitCode::SUCCESS)
}

fn wasi(wasm: Wasm) -> Option<&'static str> {
    match wasm {
        Wasm::Component { concurrent: true } => Some("0.3"),
        Wasm::Component { concurrent: false } => Some("0.2"),
        Wasm::Preview1 => Some("preview 1"),
        Wasm::Filter | Wasm::Module => None,
    }
}

fn json(
    source: &Source,
    component: bool,
    imports: &[(String, Option<String>)],
    exports: &[String],
) -> String {
    let import = |(name, hint): &(String, Option<String>)| match (component, hint) {
        (false, _) => json!({ "name": name }),
        (true, None) => json!({ "name": name, "served": true }),
        (true, Some(hint)) => json!({ "name": name, "served": false, "hint": hint }),
    };
    let value = json!({
        "file": source.path,
        "kind": source.wasm.describe().trim_start_matches("a "),
        "wasi": wasi(source.wasm),
        "bytes": source.bytes.len(),
        "imports": imports.iter().map(import).collect::<Vec<Value>>(),
        "exports": exports,
    });
    format!("{value:#}")
}

fn text(
    source: &Source,
    component: bool,
    imports: &[(String, Option<String>)],
    exports: &[String],
) -> String {
    let mut lines = vec![format!(
        "{}: {}, {} bytes{}",
        source.path.display(),
        source.wasm.describe(),
        source.bytes.len(),
        wasi(source.wasm).map(|wasi| format!(", WASI {wasi}")).unwrap_or_default(),
    )];
    lines.push(
        format!("imports: {}", if imports.is_empty() { "none" } else { "" }).trim_end().into(),
    );
    for (name, hint) in imports {
        lines.push(match (component, hint) {
            (false, _) => format!("  {name}"),
            (true, None) => format!("  served   {name}"),
            (true, Some(hint)) => format!("  missing  {name} ({hint})"),
        });
    }
    lines.push(
        format!("exports: {}", if exports.is_empty() { "none" } else { "" }).trim_end().into(),
    );
    lines.extend(exports.iter().map(|name| format!("  {name}")));
    lines.join("\n")
}
