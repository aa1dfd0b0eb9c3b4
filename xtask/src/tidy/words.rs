//! Words that are in no file: paths of one machine, hosts of package registries.
use std::path::Path;

use super::at;

/// Split here, lest they be found here.
const WORDS: [(&str, &str); 10] = [
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/Us", "ers/"), "a path of one machine"),
    (concat!("crates", ".io"), "the host of a registry"),
    (concat!("static.rust-lang", ".org"), "the host of a registry"),
    (concat!("npmjs", ".org"), "the host of a registry"),
    (concat!("pypi", ".org"), "the host of a registry"),
    (concat!("pythonhosted", ".org"), "the host of a registry"),
    (concat!("deb.debian", ".org"), "the host of a registry"),
];

/// Whatever is not tidy in one file of text.
pub(super) fn problems(file: &Path, text: &str) -> Vec<String> {
    // Cargo writes the registry into its lock; nobody else has a reason to.
    if file.file_name().is_some_and(|name| name == "Cargo.lock") {
        return Vec::new();
    }
    let lines = text.lines().enumerate();
    let in_line = |(index, line): (usize, &str)| {
        let found: Vec<String> = WORDS
            .iter()
            .filter(|(word, _)| line.contains(word))
            .map(|(word, what)| at(file, index + 1, &format!("{what}: {word}")))
            .collect();
        found
    };
    lines.flat_map(in_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_one_machine_are_found() {
        for (word, what) in WORDS {
            let found = problems(Path::new("a.md"), &format!("fine\nsee {word}x\n"));
            assert_eq!(found, [format!("a.md:2: {what}: {word}")]);
            assert!(problems(Path::new("guests/Cargo.lock"), word).is_empty());
        }
    }
}
