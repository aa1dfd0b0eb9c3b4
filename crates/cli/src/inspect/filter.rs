//! What is shown of a Proxy-Wasm filter: what it speaks, what it asks for, why it would be refused.

use crate::args::Format;
use crate::exit::Failure;
use ::filter::{Limits, Surface};
use base::units::Size;
use engine::{Engines, Settings, Source};
use serde_json::json;

/// A filter's code as it is from outside, which is looked at as `check` would.
pub(super) fn shown(source: &Source, format: Format) -> Result<String, Failure> {
    let engines = Engines::new(Settings::default());
    let mut surface = Surface::of(&engine::surface(source, &engines)?);
    let usual = Limits::default().memory;
    if let Some((begins, _)) = surface.memory.filter(|(begins, _)| *begins > usual) {
        let (begins, usual) = (Size(begins), Size(usual));
        surface.problems.push(format!(
            "its memory begins with {begins}, and `limits.memory` is {usual} unless the file says \
             more"
        ));
    }
    Ok(match format {
        Format::Json => json(source, &surface),
        Format::Text => text(source, &surface),
    })
}

fn json(source: &Source, surface: &Surface) -> String {
    let import = |(name, refused): &(String, Option<String>)| match refused {
        None => json!({ "name": name, "served": true }),
        Some(why) => json!({ "name": name, "served": false, "hint": why }),
    };
    let memory = surface.memory.map(|(begins, most)| {
        json!({ "initial": begins, "maximum": most, "limit": Limits::default().memory })
    });
    let value = json!({
        "file": source.path,
        "kind": source.wasm.describe().trim_start_matches("a "),
        "abi": surface.abi.map(::filter::Abi::word),
        "bytes": source.bytes.len(),
        "memory": memory,
        "starts": surface.starts,
        "callbacks": surface.callbacks,
        "imports": surface.imports.iter().map(import).collect::<Vec<_>>(),
        "exports": source.outline().exports,
        "refused": surface.problems,
    });
    format!("{value:#}")
}

fn text(source: &Source, surface: &Surface) -> String {
    let abi = surface.abi.map(|abi| format!(", ABI {}", abi.word())).unwrap_or_default();
    let (path, kind) = (source.path.display(), source.wasm.describe());
    let mut lines = vec![format!("{path}: {kind}, {} bytes{abi}", source.bytes.len())];
    if let Some((begins, most)) = surface.memory {
        let most = most.map(|most| format!(", at most {}", Size(most))).unwrap_or_default();
        let usual = Size(Limits::default().memory);
        lines.push(format!("memory: {} to begin with{most}; the limit is {usual}", Size(begins)));
    }
    list(&mut lines, "starts with", surface.starts.iter().map(|name| format!("  {name}")));
    list(&mut lines, "callbacks", surface.callbacks.iter().map(|name| format!("  {name}")));
    let import = |(name, refused): &(String, Option<String>)| match refused {
        None => format!("  served   {name}"),
        Some(why) => format!("  refused  {name} ({why})"),
    };
    list(&mut lines, "imports", surface.imports.iter().map(import));
    if !surface.problems.is_empty() {
        list(&mut lines, "refused", surface.problems.iter().map(|why| format!("  {why}")));
    }
    lines.join("\n")
}

/// A heading and what stands below it.
fn list(lines: &mut Vec<String>, heading: &str, items: impl Iterator<Item = String>) {
    let at = lines.len();
    lines.extend(items);
    let none = if lines.len() == at { " none" } else { "" };
    lines.insert(at, format!("{heading}:{none}"));
}
