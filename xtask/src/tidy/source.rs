//! Rust files: their size, their first sentence, and what a reader would take for done.
use std::path::Path;

use super::at;

const LINES: usize = 500;
const COLUMNS: usize = 100;

/// Pieces that have no place in a shared source. Split here, lest they be found here.
const UNFINISHED: [(&str, &str); 6] = [
    (concat!("todo", "!("), "unfinished code"),
    (concat!("unimplemented", "!("), "unfinished code"),
    (concat!("FIX", "ME"), "an issue or a mend instead of a note"),
    (concat!("TO", "DO"), "an issue or a mend instead of a note"),
    (concat!("#[", "ignore"), "a test that does not run"),
    (concat!("#[", "allow("), "#[expect(…, reason = \"…\")] instead"),
];

/// Ends of type names that say nothing.
const EMPTY_NAMES: [&str; 5] = ["Manager", "Helper", "Inner", "Impl", "Wrapper"];

/// Whatever is not tidy in one Rust file.
pub(super) fn problems(file: &Path, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > LINES {
        problems.push(at(file, lines, &format!("{lines} lines, {LINES} at most")));
    }
    if !text.starts_with("//! ") {
        problems.push(at(file, 1, "the first line is no sentence that says what the file is"));
    }
    for (index, line) in text.lines().enumerate() {
        let mut found = |what: &str| problems.push(at(file, index + 1, what));
        let columns = line.chars().count();
        if columns > COLUMNS {
            found(&format!("{columns} columns, {COLUMNS} at most"));
        }
        for (piece, what) in UNFINISHED {
            if line.contains(piece) {
                found(what);
            }
        }
        if let Some(name) = type_name(line)
            && EMPTY_NAMES.iter().any(|end| name.ends_with(end))
        {
            found(&format!("{name} says nothing: name the thing"));
        }
    }
    problems
}

/// The type or trait that a line defines.
fn type_name(line: &str) -> Option<&str> {
    let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let kinds = ["struct", "enum", "trait", "type"];
    let keyword = words.by_ref().find(|word| !word.is_empty() && *word != "pub")?;
    let keyword = if ["crate", "super"].contains(&keyword) {
        words.by_ref().find(|word| !word.is_empty())?
    } else {
        keyword
    };
    let name = words.find(|word| !word.is_empty())?;
    kinds.contains(&keyword).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        problems(Path::new("a.rs"), text)
    }

    #[test]
    fn a_tidy_file_has_no_problems() {
        assert_eq!(found("//! A file.\nstruct Thing;\n"), Vec::<String>::new());
    }

    #[test]
    fn a_file_has_a_first_sentence_and_an_end() {
        assert_eq!(found("struct Thing;\n").len(), 1);
        let long = format!("//! A file.\n{}", "\n".repeat(LINES));
        assert_eq!(found(&long), ["a.rs:501: 501 lines, 500 at most"]);
        let wide = format!("//! A file.\n// {}\n", "x".repeat(COLUMNS));
        assert_eq!(found(&wide), ["a.rs:2: 103 columns, 100 at most"]);
    }

    #[test]
    fn what_is_unfinished_is_found() {
        for (piece, what) in UNFINISHED {
            assert_eq!(found(&format!("//! A file.\n{piece}")), [format!("a.rs:2: {what}")]);
        }
    }

    #[test]
    fn empty_names_are_found() {
        assert_eq!(found("//! A file.\npub(crate) struct StoreManager {\n").len(), 1);
        assert_eq!(found("//! A file.\n    type DoorInner = u8;\n").len(), 1);
        assert_eq!(found("//! A file.\nfn implement(manager: Manager) {\n"), Vec::<String>::new());
    }
}
