//! What a component says of the messages that it wants: `guest-configuration`.

use crate::checked::too_many_topics;
use crate::{Filter, Start, Subscription};
use base::{Error, Result, units};
use std::time::Duration;

/// Channels, and those of the extensions that Wharf knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Configuration {
    topics: Vec<Filter>,
    group: Option<String>,
    start: Option<Start>,
    prefetch: Option<usize>,
    deadline: Option<Duration>,
    ordered: Option<bool>,
}

impl Configuration {
    /// Reads it. What it says besides that is not known is warned of.
    ///
    /// # Errors
    /// [`Kind::Invalid`](base::Kind) with what is wrong.
    pub(crate) fn read(
        channels: &[String],
        extensions: &[(String, String)],
        component: &str,
    ) -> Result<Self> {
        if channels.len() > Subscription::TOPICS {
            return Err(too_many_topics(channels.len()));
        }
        let topics = channels.iter().map(|channel| Filter::parse(channel));
        let topics = topics.collect::<Result<_>>()?;
        let mut configuration = Self { topics, ..Self::default() };
        for (name, value) in extensions {
            let wrong = |why: &str| Error::invalid(format!("the extension `{name}`: {why}"));
            match name.as_str() {
                "group" => configuration.group = Some(value.clone()),
                "start" => {
                    configuration.start = Some(match value.as_str() {
                        "new" => Start::New,
                        "beginning" => Start::Beginning,
                        _ => return Err(wrong("it is `new` or `beginning`")),
                    });
                }
                "prefetch" => {
                    let number = value.parse().ok().filter(|number| (1..=100_000).contains(number));
                    let number = number.ok_or_else(|| wrong("it is a number up to 100000"))?;
                    configuration.prefetch = Some(number);
                }
                "deadline" => {
                    let time = units::duration(value).map_err(|why| wrong(&why))?;
                    configuration.deadline = Some(time);
                }
                "ordered" => {
                    let flag =
                        value.parse().ok().ok_or_else(|| wrong("it is `true` or `false`"))?;
                    configuration.ordered = Some(flag);
                }
                _ => tracing::warn!(
                    component,
                    extension = name,
                    "an extension of the guest's configuration is not known and does nothing"
                ),
            }
        }
        Ok(configuration)
    }

    /// A subscription with what this says instead, and its channels besides.
    pub(crate) fn apply(&self, subscription: &Subscription) -> Subscription {
        let mut applied = subscription.clone();
        for topic in &self.topics {
            if !applied.topics.contains(topic) {
                applied.topics.push(topic.clone());
            }
        }
        let Self { topics: _, group, start, prefetch, deadline, ordered } = self.clone();
        applied.group = group.or(applied.group);
        applied.start = start.unwrap_or(applied.start);
        applied.prefetch = prefetch.unwrap_or(applied.prefetch);
        applied.deadline = deadline.unwrap_or(applied.deadline);
        applied.ordered = ordered.unwrap_or(applied.ordered);
        applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(extensions: &[(&str, &str)]) -> Result<Configuration> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let extensions: Vec<_> = extensions.iter().map(owned).collect();
        Configuration::read(&["a".to_owned(), "b.*".to_owned()], &extensions, "c")
    }

    #[test]
    fn what_is_said_is_applied_and_the_rest_stays() {
        let plain = Subscription::new(vec![Filter::parse("a").unwrap()]).of_group("g");
        let applied = read(&[("what", "ever")]).unwrap().apply(&plain);
        let topics: Vec<_> = applied.topics.iter().map(Filter::text).collect();
        assert_eq!(topics, ["a", "b.*"]);
        assert_eq!(Subscription { topics: plain.topics.clone(), ..applied }, plain);
        let said = [("group", "h"), ("start", "beginning"), ("prefetch", "3"), ("deadline", "2s")];
        let applied = read(&said).unwrap().apply(&plain);
        assert_eq!((applied.group.as_deref(), applied.prefetch), (Some("h"), 3));
        assert_eq!((applied.start, applied.deadline), (Start::Beginning, Duration::from_secs(2)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wrong in [("start", "old"), ("prefetch", "0"), ("deadline", "soon"), ("ordered", "1")] {
            let error = read(&[wrong]).unwrap_err().to_string();
            assert!(error.contains(&format!("the extension `{}`", wrong.0)), "{error}");
        }
        assert!(Configuration::read(&["a..b".to_owned()], &[], "c").is_err());
    }
}
