//! Filters of which no two cover the same, for brokers that would hand a message out for each of
//! them.

use crate::Filter;

/// As few of the filters as cover the same, if no two of them cover a topic both: servers from 2.10
/// on know several for each consumer then.
pub(super) fn apart(filters: &[Filter]) -> Option<Vec<&Filter>> {
    let mut least: Vec<&Filter> = Vec::new();
    for filter in filters {
        if !least.iter().any(|other| includes(other.text(), filter.text())) {
            least.retain(|other| !includes(filter.text(), other.text()));
            least.push(filter);
        }
    }
    let meet = |(at, one): (usize, &&Filter)| {
        least.iter().skip(at + 1).any(|other| meet(one.text(), other.text()))
    };
    (!least.iter().enumerate().any(meet)).then_some(least)
}

/// Whether a filter covers all that the other covers.
fn includes(wide: &str, narrow: &str) -> bool {
    let mut narrow = narrow.split('.');
    for part in wide.split('.') {
        match (part, narrow.next()) {
            (">", Some(_)) => return true,
            ("*", Some(word)) if word != ">" => {}
            (part, Some(word)) if part == word => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

/// Whether there is a topic that both cover.
fn meet(one: &str, other: &str) -> bool {
    let mut other = other.split('.');
    for part in one.split('.') {
        match (part, other.next()) {
            (_, None) => return false,
            (">", Some(_)) | (_, Some(">")) => return true,
            (part, Some(word)) if part == "*" || word == "*" || part == word => {}
            _ => return false,
        }
    }
    other.next().is_none()
}

/// One filter that covers all that these cover, and perhaps more: servers older than 2.10 know one
/// for each consumer.
pub(super) fn covering(filters: &[Filter]) -> String {
    let texts = filters.iter().map(|filter| filter.text().to_owned());
    texts.reduce(|one, other| both(&one, &other)).unwrap_or_else(|| ">".to_owned())
}

fn both(one: &str, other: &str) -> String {
    let (one, other): (Vec<&str>, Vec<&str>) =
        (one.split('.').collect(), other.split('.').collect());
    let is_open = [&one, &other].iter().any(|words| words.last() == Some(&">"));
    let is_open = is_open || one.len() != other.len();
    let shortest = one.len().min(other.len());
    let alike = if is_open { shortest - 1 } else { shortest };
    let words = one.iter().zip(&other).take(alike);
    let mut words: Vec<&str> =
        words.map(|(one, other)| if one == other { *one } else { "*" }).collect();
    if is_open {
        words.push(">");
    }
    words.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_filter_covers_several() {
        for (filters, wanted) in [
            (&["a.b"][..], "a.b"),
            (&["a", "b"], "*"),
            (&["a.b", "a.c"], "a.*"),
            (&["a.b", "c.b"], "*.b"),
            (&["a", "b.c"], ">"),
            (&["a.b", "a.b.c"], "a.>"),
            (&["a.>", "a.b.c"], "a.>"),
            (&["a.b.>", "a.c"], "a.>"),
            (&["a.b", "a.*", ">"], ">"),
            (&["a.b.c", "a.x.c", "a.x.d"], "a.*.*"),
        ] {
            let filters: Vec<Filter> =
                filters.iter().map(|filter| Filter::parse(filter).unwrap()).collect();
            assert_eq!(covering(&filters), wanted, "{filters:?}");
        }
    }

    #[test]
    fn filters_that_do_not_meet_stand_apart() {
        for (filters, wanted) in [
            (&["a", "b.c"][..], Some(&["a", "b.c"][..])),
            (&["a", "a"], Some(&["a"])),
            (&["a.b", "a.*", ">"], Some(&[">"])),
            (&["a.>", "a", "a.b"], Some(&["a.>", "a"])),
            (&["a.*.c", "a.b.d"], Some(&["a.*.c", "a.b.d"])),
            (&["a.*", "*.b"], None),
            (&["a.>", "*.b"], None),
            (&["*.*", "a.>"], None),
        ] {
            let filters: Vec<Filter> =
                filters.iter().map(|filter| Filter::parse(filter).unwrap()).collect();
            let found: Option<Vec<&str>> =
                apart(&filters).map(|filters| filters.into_iter().map(Filter::text).collect());
            assert_eq!(found.as_deref(), wanted, "{filters:?}");
        }
    }
}
