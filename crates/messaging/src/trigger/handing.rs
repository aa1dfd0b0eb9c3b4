//! One call with its messages: each is settled by what came of it.

use super::guest::{self, Mail};
use super::outcome::Outcome;
use super::rules::Rules;
use super::{Receiver, dead};
use crate::cloudevents::{self, Style};
use crate::{Broker, Delivery, PublishOptions};
use base::Result;
use futures::future::{join, join_all};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// What handing out messages needs.
pub(super) struct Handing<'a> {
    pub(super) receiver: watch::Receiver<Receiver>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) binding: &'a str,
    pub(super) rules: &'a Rules,
}

impl Handing<'_> {
    /// Hands messages to the guest in one call, and settles each.
    pub(super) async fn hand(&self, deliveries: Vec<Delivery>) {
        let receiver = self.receiver.borrow().clone();
        let (mut right, mut mails, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for delivery in deliveries {
            match self.mail(&delivery) {
                Ok(mail) => {
                    right.push(delivery);
                    mails.push(mail);
                }
                Err(why) => wrong.push((delivery, Outcome::Refused(why.words()))),
            }
        }
        let called = async {
            if right.is_empty() {
                return;
            }
            let called = guest::call(&receiver.guest, &receiver.exported, self.binding, mails);
            let mut outcomes = self.while_it_takes(&right, called).await.into_iter();
            // A guest may say less than it was asked.
            let silent = || Outcome::failed("the component did not say what became of it");
            let settled = right.into_iter().map(|delivery| {
                self.settle(&receiver, delivery, outcomes.next().unwrap_or_else(silent))
            });
            join_all(settled).await;
        };
        let refused = wrong.into_iter().map(|(it, outcome)| self.settle(&receiver, it, outcome));
        join(called, join_all(refused)).await;
    }

    /// What the guest is handed.
    fn mail(&self, delivery: &Delivery) -> Result<Mail> {
        let mut mail = Mail::of(delivery);
        if let Some(mode) = self.rules.cloudevents {
            mail.message = cloudevents::convert(mail.message, mode, Style::Dash)?;
        }
        Ok(mail)
    }

    /// Puts the deadlines of messages off for as long as their call goes on.
    async fn while_it_takes<T>(&self, messages: &[Delivery], called: impl Future<Output = T>) -> T {
        let mut called = std::pin::pin!(called);
        // Early enough that one answer of the broker may be lost.
        let pause = self.rules.subscription.deadline / 3;
        loop {
            // Beside the call, which goes on while the broker takes its time.
            let extended = async {
                sleep(pause).await;
                join_all(messages.iter().map(|delivery| self.extend(delivery))).await;
            };
            tokio::select! {
                biased;
                outcome = &mut called => return outcome,
                () = extended => {}
            }
        }
    }

    async fn extend(&self, delivery: &Delivery) {
        if let Err(error) = delivery.extend().await {
            let (binding, topic) = (self.binding, delivery.topic.as_str());
            tracing::debug!(binding, topic, %error, "putting a deadline off");
        }
    }

    /// Tells the broker what became of a message.
    async fn settle(&self, receiver: &Receiver, delivery: Delivery, outcome: Outcome) {
        let component = receiver.guest.name();
        let (binding, topic) = (self.binding, delivery.topic.clone());
        let attempt = delivery.attempt;
        let settled = match outcome {
            Outcome::Done => delivery.ack().await,
            Outcome::Failed { why, after } if attempt < self.rules.attempts => {
                tracing::warn!(%component, binding, topic, attempt, "a message failed: {why}");
                delivery.nack(after.unwrap_or_else(|| self.rules.pause(attempt))).await
            }
            Outcome::Failed { why, .. } | Outcome::Refused(why) => {
                self.give_up(component, delivery, &why).await
            }
        };
        if let Err(error) = settled {
            tracing::warn!(
                %component, binding, topic, attempt, %error,
                "the broker does not know what became of a message: it may come again"
            );
        }
    }

    /// Publishes the message to where those go that nobody could handle, and is done with it. If
    /// that fails it is tried again later, with the message.
    async fn give_up(&self, component: &str, delivery: Delivery, why: &str) -> Result<()> {
        let (binding, topic, attempt) = (self.binding, delivery.topic.as_str(), delivery.attempt);
        let Some(dead_letters) = &self.rules.dead_letters else {
            tracing::error!(
                %component, binding, topic, attempt,
                "a message was left out, for there is no `dead-letters`: {why}"
            );
            return delivery.ack().await;
        };
        let group = self.rules.subscription.group.as_deref();
        let letter = dead::letter(&delivery, why, binding, group, self.broker.offer().max_message);
        let options = PublishOptions { beyond: true, ..PublishOptions::default() };
        match self.broker.publish(dead_letters, letter, &options).await {
            Ok(_) => {
                tracing::error!(
                    %component, binding, topic, attempt,
                    "a message went to `{dead_letters}`: {why}"
                );
                delivery.ack().await
            }
            Err(error) => {
                tracing::warn!(
                    %component, binding, topic, %error,
                    "publishing to `{dead_letters}` failed; the message is kept"
                );
                delivery.nack(self.rules.pause(attempt).max(Duration::from_secs(1))).await
            }
        }
    }
}
