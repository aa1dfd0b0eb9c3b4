//! What was handed out, and what becomes of it.
//!
//! Every message is handed out under a token. The server takes a verdict only with the last one, so
//! who comes too late is told so, whatever host has the message meanwhile.

use super::binding::{Binding, Place, count, number, strange};
use super::ears::Ears;
use super::publisher::limits;
use super::scripts::{FORGET, SETTLE};
use crate::{Settle, Verdict, is_late, late};
use async_trait::async_trait;
use base::{Kind, Result, lock};
use connect::batcher::{Batch, Batcher};
use redis::Value;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

/// So many words are said to the server at once.
const TOGETHER: usize = 64;

/// What a broker, its subscribers and what they handed out share.
pub(super) struct Shared {
    pub(super) binding: Arc<Binding>,
    pub(super) ears: Arc<Ears>,
    pub(super) acks: Batcher<Acks>,
    /// What is said to the server without waiting for it.
    pub(super) words: mpsc::UnboundedSender<Word>,
    /// Those end with the last of them.
    pub(super) _tasks: JoinSet<()>,
}

/// A verdict that is said without waiting for the answer.
pub(super) struct Word {
    group: Arc<str>,
    place: Place,
    token: Arc<str>,
    verdict: &'static str,
    delay: u64,
    /// Another message may take its place only once it is given back.
    _permit: Option<OwnedSemaphorePermit>,
}

/// The messages of who is alone that it was handed and has not acknowledged.
pub(super) type Unsettled = Arc<Mutex<BTreeSet<Place>>>;

/// A message that is with this host, until somebody settles it.
pub(super) struct Out {
    pub(super) shared: Arc<Shared>,
    /// The number of its group.
    pub(super) group: Arc<str>,
    pub(super) place: Place,
    pub(super) token: Arc<str>,
    pub(super) deadline: Duration,
    pub(super) unsettled: Option<Unsettled>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// Whether anybody got it.
    pub(super) is_seen: bool,
    pub(super) is_settled: bool,
}

impl Out {
    /// Has its time begin anew, as nobody had it until now; whether it is still here.
    pub(super) async fn refresh(&mut self) -> Result<bool> {
        match self.extend().await {
            Ok(()) => Ok(true),
            Err(error) if is_late(&error) => {
                self.is_settled = true;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Whoever has it says that it is given back.
    pub(super) fn give_back(mut self) -> Self {
        self.is_settled = true;
        self
    }

    /// It is for nobody here.
    pub(super) fn pass_by(mut self) {
        self.is_settled = true;
        let permit = self.permit.take();
        self.say("ack", 0, permit);
    }

    fn say(&self, verdict: &'static str, delay: u64, permit: Option<OwnedSemaphorePermit>) {
        let (group, token) = (Arc::clone(&self.group), Arc::clone(&self.token));
        let word = Word { group, place: self.place, token, verdict, delay, _permit: permit };
        // Without anybody who would tell the server it comes again at its deadline.
        drop(self.shared.words.send(word));
    }

    /// Tells the server, and waits until it has heard. Who asks again after an answer that was lost
    /// may have been heard before.
    async fn tell(&self, verdict: &str, delay: u64) -> Result<()> {
        let ack = || (Arc::clone(&self.group), self.place, Arc::clone(&self.token));
        let alone = || async {
            let messages = [(self.place, &*self.token)];
            let told = settle(&self.shared.binding, &self.group, verdict, delay, &messages);
            Ok(told.await?.first().copied())
        };
        let told = match verdict {
            "ack" => self.shared.acks.call(ack, alone).await,
            _ => alone().await,
        };
        let (told, is_again) = match told {
            Err(lost) if lost.kind() == Kind::Unavailable => (alone().await?, true),
            told => (told?, false),
        };
        match told {
            // What a group that is forgotten was handed out is nobody's any more.
            None | Some(1) => Ok(()),
            Some(2) if is_again => Ok(()),
            Some(_) if is_again && verdict == "nack" => Ok(()),
            Some(_) => Err(late()),
        }
    }
}

/// Acknowledgements of many, which are said together.
pub(super) struct Acks(Arc<Binding>);

pub(super) fn joined(binding: &Arc<Binding>) -> Batcher<Acks> {
    Batcher::new(binding.server.server(), Acks(Arc::clone(binding)), limits(binding))
}

impl Batch for Acks {
    /// The group, the message, its token.
    type Call = (Arc<str>, Place, Arc<str>);
    type Answer = Option<i64>;

    fn size(_: &Self::Call) -> usize {
        64
    }

    async fn one(&self, (group, place, token): &Self::Call) -> Result<Option<i64>> {
        let told = settle(&self.0, group, "ack", 0, &[(*place, token)]).await?;
        Ok(told.first().copied())
    }

    async fn many(&self, calls: &[Self::Call]) -> Result<Vec<Result<Option<i64>>>> {
        let mut answers = Vec::with_capacity(calls.len());
        for alike in calls.chunk_by(|(one, ..), (other, ..)| one == other) {
            let Some((group, ..)) = alike.first() else { continue };
            let messages: Vec<_> =
                alike.iter().map(|(_, place, token)| (*place, &**token)).collect();
            let told = settle(&self.0, group, "ack", 0, &messages).await?;
            answers.extend((0..alike.len()).map(|index| Ok(told.get(index).copied())));
        }
        Ok(answers)
    }
}

#[async_trait]
impl Settle for Out {
    async fn settle(mut self: Box<Self>, verdict: Verdict) -> Result<()> {
        // Whoever gives up now has said it, or it comes again at its deadline.
        self.is_settled = true;
        match verdict {
            Verdict::Ack => {
                self.tell("ack", 0).await?;
                if let Some(unsettled) = &self.unsettled {
                    lock(unsettled).remove(&self.place);
                }
                Ok(())
            }
            Verdict::Nack(delay) => self.tell("nack", count(delay)).await,
        }
    }

    async fn extend(&self) -> Result<()> {
        self.tell("extend", count(self.deadline)).await
    }
}

impl Drop for Out {
    /// Who says nothing gives it back.
    fn drop(&mut self) {
        if !self.is_settled {
            let permit = self.permit.take();
            self.say(if self.is_seen { "nack" } else { "unused" }, 0, permit);
        }
    }
}

/// Says a verdict of several messages. Answers of each as the script does; nothing where the group
/// is forgotten.
pub(super) async fn settle(
    binding: &Binding,
    group: &str,
    verdict: &str,
    delay: u64,
    messages: &[(Place, &str)],
) -> Result<Vec<i64>> {
    let answer = binding.call(&SETTLE, |call| {
        let call = call.arg(group).arg(verdict).arg(delay);
        messages.iter().fold(call, |call, (place, token)| call.arg(place.to_string()).arg(*token))
    });
    let answer = answer.await?;
    match answer.word.as_str() {
        "ok" => answer.rest.iter().map(number).collect(),
        "forgotten" | "gone" => Ok(Vec::new()),
        _ => Err(strange(&Value::Array(answer.rest))),
    }
}

/// Says to the server what is to be said, until nobody is left who would.
pub(super) async fn speak(binding: Arc<Binding>, mut words: mpsc::UnboundedReceiver<Word>) {
    let mut heard = Vec::new();
    while words.recv_many(&mut heard, TOGETHER).await > 0 {
        // Those that come one after the other and say the same are said together.
        for alike in heard.chunk_by(Word::is_like) {
            let Some(Word { group, verdict, delay, .. }) = alike.first() else { continue };
            let messages: Vec<_> = alike.iter().map(|word| (word.place, &*word.token)).collect();
            if let Err(error) = settle(&binding, group, verdict, *delay, &messages).await {
                tracing::debug!(%error, "what was given back comes again at its deadline");
            }
        }
        heard.clear();
    }
}

impl Word {
    fn is_like(&self, other: &Self) -> bool {
        (&self.group, self.verdict, self.delay) == (&other.group, other.verdict, other.delay)
    }
}

/// Forgets who was alone and is gone.
pub(super) async fn forget(binding: &Binding, name: &str) {
    if let Err(error) = binding.call(&FORGET, |call| call.arg(name)).await {
        tracing::debug!(%error, "the server forgets who was alone by itself");
    }
}
