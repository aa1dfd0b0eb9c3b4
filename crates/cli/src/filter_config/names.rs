//! Names as the deployment file allows them.

use super::node::Node;
use std::collections::BTreeSet;

/// How long a name may be.
const MAX: usize = 63;

/// The names of one kind that are taken.
#[derive(Default)]
pub(crate) struct Names(BTreeSet<String>);

impl Names {
    /// A name that is allowed and nobody has, as near to `wanted` as can be. `node` is where it
    /// stands, and `matters` what a change of it means.
    pub(crate) fn give(&mut self, wanted: &str, node: &Node<'_>, matters: &str) -> String {
        let name = self.free(wanted);
        if name != wanted && !wanted.is_empty() {
            node.changed(&format!("`{wanted}` is called `{name}`{matters}"));
        }
        name
    }

    fn free(&mut self, wanted: &str) -> String {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let name: String = wanted.chars().map(|c| if good(c) { c } else { '-' }).collect();
        let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let name: String =
            if name.is_empty() { "filter" } else { name }.chars().take(MAX).collect();
        let mut free = name.clone();
        let mut number = 1_usize;
        while !self.0.insert(free.clone()) {
            number += 1;
            let end = format!("-{number}");
            free = name.chars().take(MAX - end.len()).chain(end.chars()).collect();
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_allowed_and_different() {
        let mut names = Names::default();
        let long = "x".repeat(80);
        let given: Vec<String> = ["a", "a", "outbound|80||auth.local", "", "--", &long, &long]
            .iter()
            .map(|name| names.free(name))
            .collect();
        let (first, second) = ("x".repeat(63), "x".repeat(61) + "-2");
        let expected =
            ["a", "a-2", "outbound-80--auth.local", "filter", "filter-2", &first, &second];
        assert_eq!(given, expected);
    }
}
