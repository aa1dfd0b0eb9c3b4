//! The manual's page of keys, made from the tables that the reader itself uses.

use crate::binding::Capability;
use crate::keys::{Key, Keys, NEEDS, SECTIONS};
use base::offer::Ability;
use std::fmt::Write;

/// Every key of the deployment file with an example and its meaning, as Markdown.
pub fn reference<O>(capabilities: &[Capability<O>]) -> String {
    let mut page = String::from("# The deployment file\n");
    for section in SECTIONS {
        if section.path == NEEDS.path {
            add_needs(capabilities, &mut page);
            continue;
        }
        add_section(section, &mut page);
        if section.path == "component.NAME" {
            for capability in capabilities {
                let about = format!("Names of `[{}]` that it may open.", capability.name);
                add_key(&Key(capability.grant, "[\"default\"]", &about), &mut page);
            }
        }
    }
    page.push_str("\n## Capabilities\n\n| section | default | |\n|---|---|---|\n");
    for Capability { name, about, default_url, .. } in capabilities {
        let default = default_url.map(|url| format!("`{url}`")).unwrap_or_default();
        // Writing to a string cannot fail.
        _ = writeln!(page, "| `[{name}]` | {default} | {about} |");
    }
    page
}

fn add_section(section: &Keys, page: &mut String) {
    let Keys { heading, about, .. } = section;
    _ = write!(page, "\n## {heading}\n\n{about}\n\n| key | example | |\n|---|---|---|\n");
    section.keys.iter().for_each(|key| add_key(key, page));
}

/// What can be required of the backends of each capability, with the levels, lowest first.
fn add_needs<O>(capabilities: &[Capability<O>], page: &mut String) {
    // Writing to a string cannot fail.
    _ = write!(page, "\n## {}\n\n{}\n", NEEDS.heading, NEEDS.about);
    for capability in capabilities.iter().filter(|it| !it.abilities.is_empty()) {
        _ = write!(page, "\nOf `[{}]`:\n\n| key | levels | |\n|---|---|---|\n", capability.name);
        for Ability { word, about, levels } in capability.abilities {
            let levels: Vec<_> = levels.iter().map(|level| format!("`{level}`")).collect();
            _ = writeln!(page, "| `{word}` | {} | {} |", levels.join(", "), about.trim());
        }
    }
}

fn add_key(key: &Key<'_>, page: &mut String) {
    let Key(name, example, about) = key;
    let example = if example.is_empty() { String::new() } else { format!("`{example}`") };
    _ = writeln!(page, "| `{name}` | {example} | {about} |");
}
