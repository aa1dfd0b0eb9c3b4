//! One connection: what is asked is sent together, and what is answered finds who asked.

use super::dial::Wire;
use super::wire::{self, Came};
use super::{Terms, fault};
use base::{Error, Result, lock, within};
use bytes::BytesMut;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Disconnect, DisconnectProperties, DisconnectReasonCode, Filter, Packet, PingReq, PubAck,
    PubAckReason, Publish, RetainForwardRule, Subscribe, SubscribeReasonCode, UnsubAckReason,
    Unsubscribe,
};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// So many beats in a row nothing may come.
const SILENT: u32 = 3;
/// Room for the messages that came and are not acknowledged, in pieces of so many bytes. Where it
/// is taken, nothing more is read.
const ROOM: usize = 64 << 10;
const PIECE: usize = 1 << 10;
/// No more is set aside for a packet before it comes.
const AHEAD: usize = 1 << 20;
/// The most bytes of a packet.
const LARGEST: usize = 268_435_455;

/// One connection. Cheap to clone.
#[derive(Clone)]
pub struct Connection(Arc<Parts>);

struct Parts {
    shared: Arc<Shared>,
    terms: Terms,
    /// One for each message that the server takes before it acknowledges the first.
    window: Arc<Semaphore>,
    beat: Duration,
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    server: String,
    out: Mutex<Out>,
    /// There is something to send.
    work: Notify,
    waiting: Mutex<Waiting>,
    window: Arc<Semaphore>,
    /// How often something came.
    received: AtomicU64,
    /// Nothing is read, as there is no room.
    is_full: AtomicBool,
    lost: watch::Sender<bool>,
    is_taken_over: AtomicBool,
}

#[derive(Default)]
struct Out {
    bytes: BytesMut,
    is_last: bool,
}

/// Who waits for which answer.
#[derive(Default)]
struct Waiting {
    last: u16,
    answers: HashMap<u16, Asked>,
    /// Why the connection was lost.
    over: Option<String>,
}

/// What a server says to what was asked.
enum Answer {
    Published(PubAckReason),
    Subscribed(Vec<SubscribeReasonCode>),
    Unsubscribed(Vec<UnsubAckReason>),
}

struct Asked {
    answer: oneshot::Sender<Answer>,
    /// Kept until the answer is there, whoever waits for it.
    _permit: Option<OwnedSemaphorePermit>,
}

/// A message that came.
pub struct Arrived {
    /// The message.
    pub publish: Publish,
    /// To be kept until the message is acknowledged.
    pub room: Room,
}

/// The room that a message takes, of which there is so much for a connection: where it is taken,
/// no more messages come.
pub struct Room(
    #[expect(dead_code, reason = "it is given back when dropped")] OwnedSemaphorePermit,
);

/// The messages that come on a connection.
pub struct Arrivals(mpsc::UnboundedReceiver<Arrived>);

impl Arrivals {
    /// The next one. `None`: the connection was lost.
    pub async fn next(&mut self) -> Option<Arrived> {
        self.0.recv().await
    }
}

impl Connection {
    /// A connection over what carries the bytes, of which these came already.
    pub(super) fn over(
        wire: Box<dyn Wire>,
        bytes: BytesMut,
        server: String,
        terms: Terms,
        beat: Duration,
    ) -> (Self, Arrivals) {
        let window = Arc::new(Semaphore::new(terms.window.into()));
        let shared = Arc::new(Shared {
            server,
            out: Mutex::default(),
            work: Notify::new(),
            waiting: Mutex::default(),
            window: Arc::clone(&window),
            received: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            lost: watch::Sender::new(false),
            is_taken_over: AtomicBool::new(false),
        });
        let (reader, writer) = tokio::io::split(wire);
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(Ends(Arc::clone(&shared)).read(reader, bytes, arrived));
        tasks.spawn(Ends(Arc::clone(&shared)).write(writer, beat));
        let tasks = Mutex::new(tasks);
        (Self(Arc::new(Parts { shared, terms, window, beat, tasks })), Arrivals(arrivals))
    }

    /// What the server said of itself.
    pub fn terms(&self) -> &Terms {
        &self.0.terms
    }

    /// Whether it was lost.
    pub fn is_lost(&self) -> bool {
        *self.0.shared.lost.borrow()
    }

    /// Returns once it is lost.
    pub async fn lost(&self) {
        // Whoever says so lives as long as this.
        drop(self.0.shared.lost.subscribe().wait_for(|is_lost| *is_lost).await);
    }

    /// Whether it was lost because another client has the session.
    pub fn is_taken_over(&self) -> bool {
        self.0.shared.is_taken_over.load(Relaxed)
    }

    /// How often something came on it.
    pub(super) fn received(&self) -> u64 {
        self.0.shared.received.load(Relaxed)
    }

    /// Ends it for this reason, whatever still waits on it.
    pub fn give_up(&self, why: &str) {
        self.0.shared.lose(why);
    }

    /// The error of who still waits for an answer.
    pub fn is_gone(&self) -> Error {
        let waiting = lock(&self.0.shared.waiting);
        let why = waiting.over.as_deref().unwrap_or("the connection was closed");
        Error::unavailable(format!("{}: {why}", self.0.shared.server))
    }

    /// Publishes a message, and waits until the server has it. Whether anybody is subscribed to its
    /// topic, as far as the server says; its topic may be kept with it.
    ///
    /// # Errors
    /// What the server says; `Unavailable` where the connection is lost.
    pub async fn publish(&self, publish: Publish) -> Result<bool> {
        let window = Arc::clone(&self.0.window);
        let permit = window.acquire_owned().await.map_err(|_closed| self.is_gone())?;
        let packet = |pkid| Packet::Publish(Publish { pkid, qos: QoS::AtLeastOnce, ..publish });
        match self.ask(Some(permit), packet)?.await {
            Ok(Answer::Published(reason)) => {
                match fault::of_publish(&self.0.shared.server, reason) {
                    Some(error) => Err(error),
                    None => Ok(reason != PubAckReason::NoMatchingSubscribers),
                }
            }
            answer => Err(self.unexpected(answer.is_ok())),
        }
    }

    /// Subscribes to topics, and says whether to get what the server keeps of them.
    ///
    /// # Errors
    /// As [`publish`](Self::publish). Some of them may be subscribed to then.
    pub async fn subscribe(&self, topics: &[String], with_kept: bool) -> Result<()> {
        let rule = match with_kept {
            true => RetainForwardRule::OnEverySubscribe,
            false => RetainForwardRule::Never,
        };
        let filter = |topic: &String| Filter {
            retain_forward_rule: rule.clone(),
            preserve_retain: true,
            ..Filter::new(topic.clone(), QoS::AtLeastOnce)
        };
        let filters: Vec<Filter> = topics.iter().map(filter).collect();
        let packet =
            |pkid| Packet::Subscribe(Subscribe { pkid, ..Subscribe::new_many(filters, None) });
        match self.ask(None, packet)?.await {
            Ok(Answer::Subscribed(codes)) => {
                let refused = |code| fault::of_subscribe(&self.0.shared.server, code);
                codes.into_iter().find_map(refused).map_or(Ok(()), Err)
            }
            answer => Err(self.unexpected(answer.is_ok())),
        }
    }

    /// Ends subscriptions. One that is not there has ended.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn unsubscribe(&self, topics: &[String]) -> Result<()> {
        use UnsubAckReason::{NoSubscriptionExisted, Success};
        let filters = topics.to_vec();
        let packet = |pkid| Packet::Unsubscribe(Unsubscribe { pkid, filters, properties: None });
        match self.ask(None, packet)?.await {
            Ok(Answer::Unsubscribed(reasons)) => {
                let is_refused =
                    |it: &&UnsubAckReason| !matches!(it, Success | NoSubscriptionExisted);
                match reasons.iter().find(is_refused) {
                    None => Ok(()),
                    Some(reason) => Err(Error::unavailable(format!(
                        "{} does not end a subscription: {reason:?}",
                        self.0.shared.server
                    ))),
                }
            }
            answer => Err(self.unexpected(answer.is_ok())),
        }
    }

    /// Publishes a message of which nothing is heard, before whatever is sent next.
    ///
    /// # Errors
    /// `Unavailable` where the connection is closed already.
    pub fn tell(&self, publish: Publish) -> Result<()> {
        let packet = Publish { qos: QoS::AtMostOnce, pkid: 0, ..publish };
        self.0.shared.send(&Packet::Publish(packet), false)
    }

    /// Acknowledges a message that came. The server says nothing to that.
    ///
    /// # Errors
    /// `Unavailable` where the connection is lost.
    pub fn acknowledge(&self, packet: u16) -> Result<()> {
        if self.is_lost() {
            return Err(self.is_gone());
        }
        self.0.shared.send(&Packet::PubAck(PubAck::new(packet, None)), false)
    }

    /// Says good-bye and ends, a moment later. With `forget` the server forgets the session; what
    /// is cleared with the connection is cleared now.
    pub fn end(&self, forget: bool) {
        let expiry = forget.then_some(0);
        let properties = DisconnectProperties {
            session_expiry_interval: expiry,
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        };
        let reason_code = DisconnectReasonCode::DisconnectWithWillMessage;
        let packet = Packet::Disconnect(Disconnect { reason_code, properties: Some(properties) });
        // Who cannot be told finds out.
        drop(self.0.shared.send(&packet, true));
        // Both end by themselves, within a few beats.
        lock(&self.0.tasks).detach_all();
    }

    /// As [`end`](Self::end), and returns once that is done, or takes too long.
    pub async fn ended(&self, forget: bool) {
        self.end(forget);
        // Whoever waits for longer has waited long enough.
        let _is_over = within(self.0.beat, self.lost()).await;
    }

    fn unexpected(&self, is_answer: bool) -> Error {
        if is_answer {
            self.give_up("it answers what was not asked");
        }
        self.is_gone()
    }

    /// Sends a packet that is answered.
    fn ask(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        packet: impl FnOnce(u16) -> Packet,
    ) -> Result<oneshot::Receiver<Answer>> {
        let shared = &self.0.shared;
        let (answer, answered) = oneshot::channel();
        let mut waiting = lock(&shared.waiting);
        if waiting.over.is_some() {
            drop(waiting);
            return Err(self.is_gone());
        }
        let Some(number) = waiting.number() else {
            return Err(Error::exhausted(format!("too many calls to {} wait", shared.server)));
        };
        let packet = packet(number);
        let (size, most) = (packet.size(), self.0.terms.packet.min(LARGEST));
        if size > most {
            return Err(Error::too_large(format!(
                "a packet has {size} bytes, and {} takes {most}",
                shared.server
            )));
        }
        shared.send(&packet, false)?;
        waiting.answers.insert(number, Asked { answer, _permit: permit });
        Ok(answered)
    }
}

impl Waiting {
    /// A number that nobody has.
    fn number(&mut self) -> Option<u16> {
        for _ in 0..u16::MAX {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.answers.contains_key(&self.last) {
                return Some(self.last);
            }
        }
        None
    }
}

impl Shared {
    fn send(&self, packet: &Packet, is_last: bool) -> Result<()> {
        let mut out = lock(&self.out);
        if out.is_last {
            return Err(Error::unavailable(format!("{}: it was closed", self.server)));
        }
        out.is_last = is_last;
        packet
            .write(&mut out.bytes, None)
            .map_err(|error| Error::internal("writing a packet").with_source(error))?;
        drop(out);
        self.work.notify_one();
        Ok(())
    }

    fn lose(&self, why: &str) {
        let mut waiting = lock(&self.waiting);
        if waiting.over.is_none() {
            waiting.over = Some(why.to_owned());
        }
        let answers = std::mem::take(&mut waiting.answers);
        drop(waiting);
        self.window.close();
        self.lost.send_replace(true);
        self.work.notify_one();
        // Whoever waits is told.
        drop(answers);
    }

    /// Waits until there is room for a message. `None`: the connection is lost.
    async fn take_room(
        &self,
        room: &Arc<Semaphore>,
        publish: &Publish,
        lost: &mut watch::Receiver<bool>,
    ) -> Option<Room> {
        let pieces = (publish.size() / PIECE + 1).min(ROOM);
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        self.is_full.store(true, Relaxed);
        let room = tokio::select! {
            // It is never closed.
            room = Arc::clone(room).acquire_many_owned(pieces) => room.ok()?,
            _ = lost.wait_for(|is_lost| *is_lost) => return None,
        };
        self.is_full.store(false, Relaxed);
        Some(Room(room))
    }

    fn answer(&self, number: u16, answer: Answer) {
        let asked = lock(&self.waiting).answers.remove(&number);
        // Nobody listens where the caller went away.
        drop(asked.map(|asked| asked.answer.send(answer)));
    }
}

/// One end of a connection: when it ends, however it does, the connection is lost.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.lose("the connection was closed");
    }
}

impl Ends {
    async fn read(
        self,
        mut wire: ReadHalf<Box<dyn Wire>>,
        mut bytes: BytesMut,
        arrived: mpsc::UnboundedSender<Arrived>,
    ) {
        let shared = &self.0;
        let room = Arc::new(Semaphore::new(ROOM));
        let mut lost = shared.lost.subscribe();
        loop {
            match wire::read(&mut bytes) {
                Ok(Came::Part(more)) => {
                    bytes.reserve(more.clamp(PIECE, AHEAD));
                    let came = tokio::select! {
                        came = wire.read_buf(&mut bytes) => came,
                        _ = lost.wait_for(|is_lost| *is_lost) => return,
                    };
                    match came {
                        Ok(0) => return shared.lose("it hung up"),
                        Ok(_) => drop(shared.received.fetch_add(1, Relaxed)),
                        Err(error) => return shared.lose(&error.to_string()),
                    }
                }
                Ok(Came::End(reason)) => {
                    shared.is_taken_over.store(fault::is_taken_over(reason), Relaxed);
                    return shared.lose(&fault::why(reason));
                }
                Ok(Came::Packet(packet)) => match *packet {
                    Packet::Publish(publish) => {
                        let Some(room) = shared.take_room(&room, &publish, &mut lost).await else {
                            return;
                        };
                        if arrived.send(Arrived { publish, room }).is_err() {
                            return;
                        }
                    }
                    Packet::PubAck(ack) => shared.answer(ack.pkid, Answer::Published(ack.reason)),
                    Packet::SubAck(ack) => {
                        shared.answer(ack.pkid, Answer::Subscribed(ack.return_codes));
                    }
                    Packet::UnsubAck(ack) => {
                        shared.answer(ack.pkid, Answer::Unsubscribed(ack.reasons));
                    }
                    _ => {}
                },
                Err(error) => return shared.lose(&format!("it sent no packet of MQTT: {error}")),
            }
        }
    }

    async fn write(self, mut wire: WriteHalf<Box<dyn Wire>>, beat: Duration) {
        let shared = &self.0;
        let mut beats = interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heard, mut silent) = (0, 0);
        while !*shared.lost.borrow() {
            let is_beat = tokio::select! {
                () = shared.work.notified() => false,
                _ = beats.tick() => true,
            };
            if is_beat {
                let now = shared.received.load(Relaxed);
                let is_silent = now == heard && !shared.is_full.load(Relaxed);
                silent = if is_silent { silent + 1 } else { 0 };
                heard = now;
                if silent > SILENT {
                    return shared.lose("nothing comes from it any more");
                }
                drop(shared.send(&Packet::PingReq(PingReq), false));
            }
            let (bytes, is_last) = {
                let mut out = lock(&shared.out);
                (out.bytes.split(), out.is_last)
            };
            let write = async {
                wire.write_all(&bytes).await?;
                wire.flush().await?;
                if is_last { wire.shutdown().await } else { io::Result::Ok(()) }
            };
            match within(beat * SILENT, write).await {
                Ok(Ok(())) if is_last => return,
                Ok(Ok(())) => {}
                Ok(Err(error)) => return shared.lose(&error.to_string()),
                Err(_elapsed) => return shared.lose("it takes nothing any more"),
            }
        }
    }
}
