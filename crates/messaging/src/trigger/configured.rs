//! Subscriptions of which the component says itself what they cover.

use super::guest::configure;
use super::{Receiver, Rules};
use crate::host::{Configuration, Messaging};
use base::{Error, Result};
use engine::{Stop, retry};
use std::future::pending;
use tokio::sync::watch;
use tokio::time::sleep;

/// What a component says while it runs of what it wants to be handed.
pub(super) type Said = watch::Receiver<Option<Configuration>>;

/// Hears what the component says from now on; `None` where its interface has nothing to say.
pub(super) fn said(receiver: &Receiver) -> Option<Said> {
    receiver.exported.configures()?;
    Some(receiver.guest.grants().find::<Messaging>()?.configurations())
}

/// The rules of the file, with what the component says: what it said last, or says when it is
/// asked. It is asked again until it says something that can be. `None`: it is to end.
pub(super) async fn rules(
    receiver: &Receiver,
    said: Option<&mut Said>,
    rules: &Rules,
    stop: &Stop,
) -> Option<Rules> {
    let (Some(said), Some(pre)) = (said, receiver.exported.configures()) else {
        return Some(rules.clone());
    };
    let component = receiver.guest.name();
    let mut failures = 0;
    loop {
        let last = said.borrow_and_update().clone();
        match last.map(|configuration| applied(&configuration, rules)) {
            Some(Ok(rules)) => return Some(rules),
            Some(Err(error)) => tracing::warn!(
                %component, %error,
                "a component cannot subscribe to what it says: its `configure` is asked again"
            ),
            None => {}
        }
        let configuration = configure(&receiver.guest, pre).await;
        let error = match configuration.and_then(|configuration| applied(&configuration, rules)) {
            Ok(rules) => return Some(rules),
            Err(error) => error,
        };
        failures += 1;
        tracing::warn!(%component, %error, "a component has not said what it subscribes to");
        tokio::select! {
            () = stop.wait() => return None,
            Ok(()) = said.changed() => {}
            () = sleep(retry::pause(failures)) => {}
        }
    }
}

fn applied(configuration: &Configuration, rules: &Rules) -> Result<Rules> {
    let subscription = configuration.apply(&rules.subscription);
    if subscription.topics.is_empty() {
        return Err(Error::invalid("it names no channel"));
    }
    if let Some(dead) = &rules.dead_letters
        && subscription.topics.iter().any(|topic| topic.covers(dead))
    {
        let message = format!("`{dead}` is among the channels: what is given up would come again");
        return Err(Error::invalid(message));
    }
    Ok(Rules { subscription, ..rules.clone() })
}

/// Waits until the rules may be others: until the component says something else, or is exchanged,
/// where it or the next one has a say.
pub(super) async fn changed(receiver: &mut watch::Receiver<Receiver>, said: Option<&mut Said>) {
    let has_a_say = said.is_some();
    let mut news = std::pin::pin!(news(said));
    loop {
        tokio::select! {
            () = &mut news => return,
            exchanged = receiver.changed() => {
                if exchanged.is_err() {
                    // There will be no other.
                    pending::<()>().await;
                }
                if has_a_say || receiver.borrow_and_update().exported.configures().is_some() {
                    return;
                }
            }
        }
    }
}

/// Waits until the component says something else.
async fn news(said: Option<&mut Said>) {
    let Some(said) = said else { return pending().await };
    if said.changed().await.is_err() {
        pending::<()>().await;
    }
}
