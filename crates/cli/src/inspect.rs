//! `wharf inspect`: what a file is, what it asks for, what it gives.

mod filter;

use crate::args::{Format, InspectArgs};
use crate::capabilities::PLUGINS;
use crate::console;
use crate::exit::Failure;
use engine::{Name, Source, Wasm, unserved};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Shows a file without compiling it.
pub(crate) fn inspect(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let source = Source::read(&args.file)?;
    if source.wasm == Wasm::Filter {
        console::give(&filter::shown(&source, args.format)?);
        return Ok(ExitCode::SUCCESS);
    }
    let outline = source.outline();
    let served = engine::served(PLUGINS);
    let component = matches!(source.wasm, Wasm::Component { .. });
    let imports: Vec<(Name, Option<String>)> = outline
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
    imports: &[(Name, Option<String>)],
    exports: &[String],
) -> String {
    let import = |(name, hint): &(Name, Option<String>)| {
        let mut import = name_json(name);
        if component {
            import.insert("served".to_owned(), json!(hint.is_none()));
        }
        if let Some(hint) = hint {
            import.insert("hint".to_owned(), json!(hint));
        }
        Value::Object(import)
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

/// The name of an import, for programs.
pub(crate) fn name_json(name: &Name) -> Map<String, Value> {
    let fields = [
        ("name", Some(&name.name)),
        ("implements", name.implements.as_ref()),
        ("external-id", name.external_id.as_ref()),
    ];
    let fields = fields.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text?))));
    fields.collect()
}

fn text(
    source: &Source,
    component: bool,
    imports: &[(Name, Option<String>)],
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
