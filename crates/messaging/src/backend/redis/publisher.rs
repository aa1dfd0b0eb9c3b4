//! How messages are published: in one step those that come together, and those that come while the
//! server is busy.

use super::binding::{Binding, Place, strange, text};
use super::letter::Parcel;
use super::scripts::PUBLISH;
use super::sweep::{Retention, Room};
use crate::Published;
use base::units::Size;
use base::{Error, Kind, Result};
use connect::batcher::{Batch, Batcher, Limits};
use redis::Value;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

/// So many messages are published in one step, which have at most so many bytes unless there is
/// only one.
pub(super) const BATCH: usize = 64;
pub(super) const BATCH_BYTES: usize = 1 << 20;
/// So many steps are on their way before others wait, and for how long they wait for those.
const LANES: usize = 4;
const PATIENCE: Duration = Duration::from_millis(5);

/// What publishes.
pub(super) struct Publisher {
    binding: Arc<Binding>,
    room: Room,
    /// Room for all messages together.
    size: Option<Size>,
}

/// How messages are published that belong together.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// Only if a group covers the first topic.
    pub(super) heard: bool,
    /// Although there is no room.
    pub(super) beyond: bool,
}

/// What publishes messages of many together.
pub(super) struct Joined {
    publisher: Arc<Publisher>,
    batcher: Batcher<Publishing>,
}

/// How steps are made together.
pub(super) fn limits(binding: &Binding) -> Limits {
    let timeout = binding.server.timeout();
    Limits { lanes: LANES, calls: BATCH, bytes: BATCH_BYTES, patience: PATIENCE, timeout }
}

impl Joined {
    pub(super) fn new(binding: &Arc<Binding>, retention: Retention) -> Self {
        let (room, size) = (Room::new(retention), retention.size);
        let publisher = Arc::new(Publisher { binding: Arc::clone(binding), room, size });
        let publishing = Publishing(Arc::clone(&publisher));
        let batcher = Batcher::new(binding.server.server(), publishing, limits(binding));
        Self { publisher, batcher }
    }

    /// Publishes a message.
    pub(super) async fn one(&self, parcel: Parcel, way: Way) -> Result<Published> {
        match way == Way::default() {
            true => {
                let alone = || self.publisher.one(&parcel, way);
                self.batcher.call(|| parcel.clone(), alone).await
            }
            false => self.publisher.one(&parcel, way).await,
        }
    }

    /// Publishes messages in this order, in one step unless there is no room for all of them.
    pub(super) async fn many(&self, parcels: &[Parcel], way: Way) -> Vec<Result<Published>> {
        self.publisher.many(parcels, way).await
    }
}

struct Publishing(Arc<Publisher>);

impl Batch for Publishing {
    type Call = Parcel;
    type Answer = Published;

    fn size(parcel: &Parcel) -> usize {
        parcel.size()
    }

    async fn one(&self, parcel: &Parcel) -> Result<Published> {
        self.0.one(parcel, Way::default()).await
    }

    async fn many(&self, parcels: &[Parcel]) -> Result<Vec<Result<Published>>> {
        Ok(self.0.many(parcels, Way::default()).await)
    }
}

impl Publisher {
    async fn one(&self, parcel: &Parcel, way: Way) -> Result<Published> {
        let lost = || Err(Error::internal("a message has no outcome"));
        self.many(slice::from_ref(parcel), way).await.pop().unwrap_or_else(lost)
    }

    async fn many(&self, parcels: &[Parcel], way: Way) -> Vec<Result<Published>> {
        let mut outcomes = Vec::with_capacity(parcels.len());
        let (mut has_made_room, mut behind) = (false, None);
        while let Some(rest) = parcels.get(outcomes.len()..).filter(|rest| !rest.is_empty()) {
            let error = match self.take_in(rest, way, &mut outcomes).await {
                Ok(()) if outcomes.len() == parcels.len() => break,
                Ok(()) => self.full(),
                Err(error) => error,
            };
            let rest = parcels.get(outcomes.len()..).unwrap_or_default();
            if error.kind() == Kind::Exhausted && !has_made_room {
                has_made_room = true;
                let wanted = rest.iter().map(Parcel::size).sum();
                // What keeps it from that is told by the next try.
                behind = self.room.make(&self.binding, wanted).await.unwrap_or_default();
                continue;
            }
            let error = hinted(error, behind.take());
            outcomes.extend(rest.iter().map(|_| Err(error.again())));
        }
        outcomes
    }

    fn full(&self) -> Error {
        let room = self.size.unwrap_or_default();
        Error::exhausted(format!("the messages that wait take {room}"))
    }

    /// Has the server take messages in, up to the first for which there is no room.
    async fn take_in(
        &self,
        parcels: &[Parcel],
        way: Way,
        outcomes: &mut Vec<Result<Published>>,
    ) -> Result<()> {
        let most = self.size.filter(|_| !way.beyond).map(|size| size.0.to_string());
        let answer = self.binding.insist(&PUBLISH, |call| {
            let call = call.arg(most.as_deref().unwrap_or_default()).arg(i32::from(way.heard));
            parcels.iter().fold(call, |call, parcel| {
                let delay = parcel.delay.map(|delay| delay.to_string()).unwrap_or_default();
                let call = call.arg(&parcel.topic).arg(delay).arg(&parcel.id).arg(&parcel.key);
                call.arg(&parcel.head).arg(&*parcel.data)
            })
        });
        let answer = answer.await?;
        match answer.word.as_str() {
            "ok" => {}
            "unheard" => return Err(Error::timeout("nobody listens to the topic")),
            _ => return Err(strange(&Value::Array(answer.rest))),
        }
        for said in answer.rest {
            match text(said)?.as_str() {
                "full" => break,
                "ids" => outcomes.push(Err(Error::exhausted(
                    "too many messages with ids came within two minutes",
                ))),
                id => outcomes.push(self.published(id)),
            }
        }
        Ok(())
    }

    fn published(&self, id: &str) -> Result<Published> {
        let (duplicate, id) = match id.strip_prefix('=') {
            Some(id) => (true, id),
            None => (false, id),
        };
        let place = Place::read(id).ok_or_else(|| Error::corrupt("the id of a message"))?;
        Ok(Published { position: Some(self.binding.position(place)), duplicate })
    }
}

fn hinted(error: Error, behind: Option<String>) -> Error {
    match behind {
        Some(group) if error.kind() == Kind::Exhausted => error.with_hint(format!(
            "group `{group}` is the one behind: subscribe to it or forget it, or give more room"
        )),
        _ => error,
    }
}
