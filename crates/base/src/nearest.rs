//! The nearest known word, for everything a person may have mistyped.

/// The word of `known` that `word` most likely meant, if one is near enough.
///
/// Near is a third of the longer word's letters, and never more than three edits: `redsi` is
/// near `redis`, `amqp` is not near `nats`.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            let longer = word.chars().count().max(candidate.chars().count());
            *distance <= (longer / 3).clamp(1, 3)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typo_finds_its_word_and_a_stranger_none() {
        let known = ["redis", "nats", "embedded", "memory"];
        assert_eq!(nearest("redsi", known), Some("redis"));
        assert_eq!(nearest("embeded", known), Some("embedded"));
        assert_eq!(nearest("cassandra", known), None);
    }
}
