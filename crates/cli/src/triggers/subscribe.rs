//! Messages that components are handed.

use crate::app::App;
use base::Error;
use base::offer::{Attempts, Delay, Groups, Ordering, Redelivery, Replay, Wildcards};
use base::topic::Filter;
use engine::Stop;
use messaging::cloudevents::Mode;
use messaging::trigger::{Receiver, Rules};
use messaging::{Broker, Levels, Offer, Position, Start, Subscription};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The most messages that are fetched ahead where the file does not say how many.
const MOST: usize = 10_000;

/// Which messages are handed to whom.
pub(super) struct Subscribed {
    component: String,
    binding: String,
    rules: Rules,
    broker: Arc<dyn Broker>,
    /// Told once it is subscribed, or was not at the first try.
    pub(super) begun: Stop,
}

impl PartialEq for Subscribed {
    fn eq(&self, other: &Self) -> bool {
        self.component == other.component
            && self.rules == other.rules
            && Arc::ptr_eq(&self.broker, &other.broker)
    }
}

/// What a subscription asks of its broker: only what the file asks for is needed.
pub(crate) fn needs(subscribe: &deployment::Subscribe) -> Levels {
    let mut needs =
        Levels { groups: Groups::Host, redelivery: Redelivery::Disconnect, ..Levels::LOWEST };
    if subscribe.topics.iter().any(Filter::is_wild) {
        needs.wildcards = Wildcards::Words;
    }
    if subscribe.ordered {
        needs.ordering = Ordering::Key;
    }
    if subscribe.start != deployment::Start::New {
        needs.replay = Replay::Log;
    }
    if subscribe.deadline.is_some() {
        needs.redelivery = Redelivery::Deadline;
    }
    if subscribe.attempts.is_some() || subscribe.dead_letters.is_some() {
        needs.attempts = Attempts::Subscriber;
    }
    let pauses = subscribe.retry.iter().flatten();
    needs.retry = pauses.map(|pause| fineness(*pause)).max().unwrap_or(Delay::None);
    needs
}

/// How finely a message has to be put off for this pause. What chance adds to it is no promise.
fn fineness(pause: Duration) -> Delay {
    match (pause.as_secs(), pause.subsec_nanos()) {
        (0, 0) => Delay::None,
        (_, 0) => Delay::Seconds,
        _ => Delay::Milliseconds,
    }
}

fn rules(subscribe: &deployment::Subscribe, offer: &Offer) -> Rules {
    let concurrency = subscribe.concurrency.unwrap_or(Rules::CONCURRENCY);
    let batch = subscribe.batch.unwrap_or(1);
    // Fewer than are handed out at once would leave places empty.
    let out = concurrency.saturating_mul(batch).min(MOST);
    let usual = match offer.levels.retry {
        // What cannot be put off comes again at once.
        Delay::None => Vec::new(),
        _ => Rules::RETRY.to_vec(),
    };
    let plain = Subscription::new(subscribe.topics.clone()).of_group(subscribe.group.clone());
    Rules {
        subscription: Subscription {
            start: match &subscribe.start {
                deployment::Start::New => Start::New,
                deployment::Start::Beginning => Start::Beginning,
                deployment::Start::After(position) => Start::After(Position(position.clone())),
                deployment::Start::Since(time) => Start::Since(*time),
            },
            prefetch: subscribe.prefetch.unwrap_or(out).max(concurrency).max(batch),
            deadline: subscribe.deadline.unwrap_or(Subscription::DEADLINE),
            ordered: subscribe.ordered,
            ..plain
        },
        concurrency,
        batch,
        batch_wait: subscribe.batch_wait.unwrap_or_default(),
        retry: subscribe.retry.clone().unwrap_or(usual),
        attempts: subscribe.attempts.unwrap_or(Rules::ATTEMPTS),
        dead_letters: subscribe.dead_letters.clone(),
        cloudevents: subscribe.cloudevents.map(|form| match form {
            deployment::CloudEvents::Binary => Mode::Binary,
            deployment::CloudEvents::Structured => Mode::Structured,
        }),
    }
}

/// A subscription whose component was loaded and takes messages, and whose broker is open.
pub(super) fn ready(
    app: &App,
    subscribe: &deployment::Subscribe,
) -> Result<Option<(Subscribed, Receiver)>, Error> {
    let Some(loaded) = app.guests.get(&subscribe.component) else { return Ok(None) };
    let component = subscribe.component.clone();
    let receiver = Receiver::new(Arc::clone(&loaded.guest))
        .map_err(|error| Error::invalid(format!("component `{component}`: {error:#}")))?
        .ok_or_else(|| {
            Error::invalid(format!(
                "component `{component}` takes no messages: it exports no \
                 `wasi:messaging/incoming-handler`"
            ))
        })?;
    if subscribe.batch.is_some_and(|batch| batch > 1) && !receiver.takes_batches() {
        let interface = receiver.interface();
        return Err(Error::invalid(format!(
            "component `{component}` takes one message in a call: it exports `{interface}`"
        ))
        .with_hint("leave `batch` out; `concurrency` calls are made at once"));
    }
    if subscribe.topics.is_empty() && !receiver.says_its_topics() {
        let message = format!("component `{component}` names no topics, and neither does the file");
        return Err(Error::invalid(message).with_hint("for example `topics = [\"orders.new\"]`"));
    }
    // A broker that could not be opened was reported.
    let Some(broker) = app.broker(&subscribe.binding) else { return Ok(None) };
    let (binding, broker) = (subscribe.binding.clone(), Arc::clone(broker));
    let rules = rules(subscribe, broker.offer());
    let subscribed = Subscribed { component, binding, rules, broker, begun: Stop::default() };
    Ok(Some((subscribed, receiver)))
}

/// Hands messages over until it is stopped.
pub(super) fn run(
    subscribed: &Subscribed,
    receiver: watch::Receiver<Receiver>,
    stop: Stop,
) -> impl Future<Output = ()> + Send + use<> {
    let (component, binding) = (subscribed.component.clone(), subscribed.binding.clone());
    let (broker, rules) = (Arc::clone(&subscribed.broker), subscribed.rules.clone());
    let begun = subscribed.begun.clone();
    async move {
        let run = messaging::trigger::run(receiver, broker, &binding, rules, &begun, stop);
        let ended = run.await;
        begun.now();
        if let Err(error) = ended {
            tracing::error!(%component, binding, %error, "a subscription ended");
        }
    }
}
