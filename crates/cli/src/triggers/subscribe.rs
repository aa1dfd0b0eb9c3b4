//! Messages that components are handed.

use crate::app::App;
use base::Error;
use base::offer::{Groups, Ordering, Redelivery, Replay, Wildcards};
use base::topic::Filter;
use engine::Stop;
use messaging::trigger::{Receiver, Rules};
use messaging::{Broker, Levels, Start, Subscription};
use std::sync::Arc;
use tokio::sync::watch;

/// Which messages are handed to whom.
pub(super) struct Subscribed {
    component: String,
    binding: String,
    rules: Rules,
    broker: Arc<dyn Broker>,
}

impl PartialEq for Subscribed {
    fn eq(&self, other: &Self) -> bool {
        self.component == other.component
            && self.rules == other.rules
            && Arc::ptr_eq(&self.broker, &other.broker)
    }
}

/// What a subscription asks of its broker.
pub(crate) fn needs(subscribe: &deployment::Subscribe) -> Levels {
    let mut needs =
        Levels { groups: Groups::Shared, redelivery: Redelivery::Disconnect, ..Levels::LOWEST };
    if subscribe.topics.iter().any(Filter::is_wild) {
        needs.wildcards = Wildcards::Words;
    }
    if subscribe.ordered {
        needs.ordering = Ordering::Key;
    }
    if subscribe.from_beginning {
        needs.replay = Replay::Log;
    }
    needs
}

fn rules(subscribe: &deployment::Subscribe) -> Rules {
    let concurrency = subscribe.concurrency.unwrap_or(Rules::CONCURRENCY);
    let start = if subscribe.from_beginning { Start::Beginning } else { Start::New };
    let plain = Subscription::new(subscribe.topics.clone()).of_group(subscribe.group.clone());
    Rules {
        subscription: Subscription {
            start,
            // Fewer than are handed out at once would leave places empty.
            prefetch: subscribe.prefetch.unwrap_or(concurrency).max(concurrency),
            deadline: subscribe.deadline.unwrap_or(Subscription::DEADLINE),
            ordered: subscribe.ordered,
            ..plain
        },
        concurrency,
        retry: subscribe.retry.clone().unwrap_or_else(|| Rules::RETRY.to_vec()),
        attempts: subscribe.attempts.unwrap_or(Rules::ATTEMPTS),
        dead_letters: subscribe.dead_letters.clone(),
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
    if subscribe.topics.is_empty() && !receiver.says_its_topics() {
        let message = format!("component `{component}` names no topics, and neither does the file");
        return Err(Error::invalid(message).with_hint("for example `topics = [\"orders.new\"]`"));
    }
    // A broker that could not be opened was reported.
    let Some(broker) = app.broker(&subscribe.binding) else { return Ok(None) };
    let (binding, broker) = (subscribe.binding.clone(), Arc::clone(broker));
    let subscribed = Subscribed { component, binding, rules: rules(subscribe), broker };
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
    async move {
        let run = messaging::trigger::run(receiver, broker, &binding, rules, stop);
        if let Err(error) = run.await {
            tracing::error!(%component, binding, %error, "a subscription ended");
        }
    }
}
