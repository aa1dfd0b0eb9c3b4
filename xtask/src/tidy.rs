//! What the compiler does not check: sizes, first sentences, words, names, arrows between crates.
mod arrows;
mod names;
mod source;
mod words;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::places;
use crate::steps::{command, read, step};

/// Prints everything that is not tidy, and fails if there is any.
pub(crate) fn check() -> Result<()> {
    step("tidy", || {
        let problems = problems()?;
        for problem in &problems {
            eprintln!("    {problem}");
        }
        match problems.len() {
            0 => Ok(()),
            number => bail!("{number} things are not tidy"),
        }
    })
}

/// Everything in the repository that is not tidy, each as a line that begins with its file.
fn problems() -> Result<Vec<String>> {
    let files = files()?;
    let mut problems = Vec::new();
    for file in &files {
        // What is no text has no lines to check.
        let Ok(text) = std::fs::read_to_string(places::root().join(file)) else { continue };
        problems.extend(words::problems(file, &text));
        if file.extension().is_some_and(|kind| kind == "rs") {
            problems.extend(source::problems(file, &text));
        }
    }
    problems.extend(arrows::problems(places::root())?);
    problems.extend(names::problems(places::root())?);
    Ok(problems)
}

/// Every file that is in the repository, or would be with the next commit.
fn files() -> Result<Vec<PathBuf>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let text = read(&mut command("git", &list))?;
    let names = text.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    Ok(names.filter(|file| places::root().join(file).is_file()).collect())
}

/// A problem at a place, as compilers write it.
fn at(file: &Path, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", file.display())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        let problems = super::problems().unwrap();
        assert!(problems.is_empty(), "not tidy:\n{}", problems.join("\n"));
    }
}
