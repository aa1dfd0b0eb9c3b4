//! The list of groups in the tags of a queue: under a group's word what was written of it, as the
//! letters that tags may have, and under `<word>=1`, `<word>=2` what is too long for one.

use crate::backend::queues::coded::{coded, decoded};
use std::collections::BTreeMap;

pub(super) type Tags = BTreeMap<String, String>;

/// So many tags a queue has at most.
pub(super) const MOST: usize = 50;
/// The most letters in the value of a tag.
const LONGEST: usize = 256;
/// What stands at the end of a text, and nowhere else.
const END: char = '@';

/// The tags of a text that is written of a queue.
pub(super) fn of(queue: &str, text: &str) -> Tags {
    let mut rest = coded(text);
    rest.push(END);
    let mut tags = Tags::new();
    while !rest.is_empty() {
        let after = rest.split_off(rest.len().min(LONGEST));
        tags.insert(key(queue, tags.len()), std::mem::replace(&mut rest, after));
    }
    tags
}

/// Those of these tags that are of a queue.
pub(super) fn keys<'a>(tags: &'a Tags, queue: &'a str) -> impl Iterator<Item = &'a String> {
    let is_of = move |key: &str| key.split('=').next() == Some(queue);
    tags.keys().filter(move |key| is_of(key))
}

/// What is written of each queue. What others have for tags is none of it.
pub(super) fn read(tags: &Tags) -> Vec<(String, String)> {
    let queues = tags.keys().filter(|key| !key.contains('='));
    let text = |queue: &str| {
        let mut text = String::new();
        for number in 0.. {
            text += tags.get(&key(queue, number))?;
            if let Some(whole) = text.strip_suffix(END) {
                return decoded(whole);
            }
        }
        None
    };
    queues.filter_map(|queue| Some((queue.clone(), text(queue)?))).collect()
}

fn key(queue: &str, number: usize) -> String {
    match number {
        0 => queue.to_owned(),
        number => format!("{queue}={number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_tags_is_read_again() {
        let long = format!("- {}", vec!["w@rd.*"; 200].join(" "));
        let mut all = Tags::new();
        for (queue, text) in [("a", "- a.* =@ω >"), ("b", long.as_str()), ("a-1", "")] {
            let tags = of(queue, text);
            let is_allowed =
                |letter: char| letter.is_ascii_alphanumeric() || "+-=._:/@ ".contains(letter);
            for (key, value) in &tags {
                assert!(value.len() <= LONGEST && value.chars().all(is_allowed), "{key} {value}");
            }
            assert_eq!(keys(&tags, queue).count(), tags.len());
            all.extend(tags);
        }
        all.insert("Team".to_owned(), "shop".to_owned());
        all.insert("b=9".to_owned(), "of a longer text before@".to_owned());
        let read: BTreeMap<String, String> = read(&all).into_iter().collect();
        let texts: Vec<&str> = read.values().map(String::as_str).collect();
        assert_eq!(texts, ["- a.* =@ω >", "", &long]);
        assert_eq!(keys(&all, "a").count(), 1);
    }

    #[test]
    fn what_others_wrote_is_passed_by() {
        for value in ["", "a=", "a=X@", "=FF@", "=C3=28@"] {
            let tags = Tags::from([("a".to_owned(), value.to_owned())]);
            assert_eq!(read(&tags), [], "{value}");
        }
    }
}
