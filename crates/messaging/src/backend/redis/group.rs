//! Groups: how one is found or made, what it covers, where it begins.
//!
//! The consumer groups of Redis know neither topics nor pauses nor an order, so those of a binding
//! are rows of our own beside its stream: how far the group has looked, and what of that it is not
//! done with.

use super::binding::{Binding, Place, strange, text};
use super::scripts::JOIN;
use crate::{Filter, Start, Subscription};
use base::{Error, Result};
use redis::Value;
use std::time::Duration;

/// After so long who is alone and does not come back is forgotten.
pub(super) const INACTIVE: Duration = Duration::from_secs(3600);

/// A group that is there.
pub(super) struct Joined {
    pub(super) name: String,
    pub(super) number: String,
    /// Which of the group's topics those of the subscription are.
    pub(super) version: String,
    /// How far it has looked.
    pub(super) cursor: Place,
}

/// Finds the group of a subscription or makes it, and has it cover the topics.
pub(super) async fn join(binding: &Binding, subscription: &Subscription) -> Result<Joined> {
    let name = match &subscription.group {
        Some(group) => group.clone(),
        // No name that anybody can give.
        None => format!("\n{:x}", fastrand::u64(..)),
    };
    let wrong = || Error::invalid("this is no position of this broker");
    let start = match &subscription.start {
        Start::New => "$".to_owned(),
        Start::Beginning => "0-0".to_owned(),
        Start::After(position) => match binding.place(position) {
            Some(place) => format!("after {place}"),
            None if subscription.group.is_some() => "after -".to_owned(),
            None => return Err(wrong()),
        },
        Start::Since(time) => Place::before(*time).to_string(),
    };
    match join_at(binding, &name, subscription, &start).await? {
        Some(joined) => Ok(joined),
        None => Err(wrong()),
    }
}

/// The same, with where to begin as the script takes it. `None`: that is nowhere.
pub(super) async fn join_at(
    binding: &Binding,
    name: &str,
    subscription: &Subscription,
    start: &str,
) -> Result<Option<Joined>> {
    let each = |show: fn(&Filter) -> String, between: &str| {
        subscription.topics.iter().map(show).collect::<Vec<_>>().join(between)
    };
    let topics = each(|filter| filter.text().to_owned(), " ");
    let patterns = each(pattern, "\n");
    let is_alone = subscription.group.is_none();
    let answer = binding.insist(&JOIN, |call| {
        let call = call.arg(name).arg(&topics).arg(&patterns);
        call.arg(i32::from(subscription.ordered)).arg(start).arg(i32::from(is_alone))
    });
    let answer = answer.await?;
    if answer.word == "position" {
        return Ok(None);
    }
    let parts: Result<[Value; 3], _> = answer.rest.try_into();
    let [number, version, cursor] = parts.map_err(|it| strange(&Value::Array(it)))?;
    let cursor = Place::read(&text(cursor)?);
    Ok(Some(Joined {
        name: name.to_owned(),
        number: text(number)?,
        version: text(version)?,
        cursor: cursor.ok_or_else(|| Error::corrupt("how far a group has looked"))?,
    }))
}

/// The topics of a group, as its row says.
pub(super) fn topics(text: &str) -> Option<Vec<Filter>> {
    text.split(' ').map(|topic| Filter::parse(topic).ok()).collect()
}

/// The pattern of Lua that covers what a filter does.
fn pattern(filter: &Filter) -> String {
    let mut pattern = String::from("^");
    for (index, word) in filter.text().split('.').enumerate() {
        if index > 0 {
            pattern.push_str("%.");
        }
        match word {
            "*" => pattern.push_str("[^.]+"),
            ">" => pattern.push_str(".+"),
            word => {
                for letter in word.chars() {
                    if letter.is_ascii_punctuation() {
                        pattern.push('%');
                    }
                    pattern.push(letter);
                }
            }
        }
    }
    pattern.push('$');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_patterns_that_cover_as_much() {
        for (filter, wanted) in [
            ("a", "^a$"),
            ("a.*.c", "^a%.[^.]+%.c$"),
            (">", "^.+$"),
            ("a-b.>", "^a%-b%..+$"),
            ("%d+.\u{c4}", "^%%d%+%.\u{c4}$"),
        ] {
            assert_eq!(pattern(&Filter::parse(filter).unwrap()), wanted);
        }
        let topics = topics("a b.*");
        assert_eq!(topics.map(|all| all.len()), Some(2));
    }
}
