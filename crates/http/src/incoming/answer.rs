//! The answer while the guest still makes it.
//!
//! The call and the answer's body are polled by the same task, so a small answer costs no
//! hand-over between tasks, and a body that nobody pulls is back pressure on its guest.

use super::{Refused, refusal};
use bytes::Bytes;
use engine::background::Fair;
use engine::{Deadline, Tasks};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_types::Response;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Sleep, sleep_until};
use wasmtime_wasi_http::{Error, WasiBody};

type Call = Fair<wasmtime::Result<()>>;
/// What the timers of the host wait beyond the deadline, so that a guest that computes is ended by
/// its own epoch, with a backtrace.
const SLACK: Duration = Duration::from_millis(20);

/// The same for a call in the background, which has to wait for its turn to be ended.
const TURN: Duration = Duration::from_secs(1);

type Head = Result<Response<WasiBody>, String>;

/// How long the call may go on from its last sign of life.
///
/// The first is its beginning, so the head of the answer has one deadline; each part of the body
/// that is taken starts another. A stream may so last for ever, a loop may not.
#[derive(Clone)]
pub(super) struct Progress {
    deadline: Deadline,
    timeout: Duration,
    shared: Arc<Shared>,
}

struct Shared {
    body_ended: AtomicBool,
    /// Whether the call failed. What its instance still held of the body then ends as if it were
    /// complete, so this is set before the instance goes.
    failed: AtomicBool,
    /// The deadline of an instance that has other calls besides.
    instance: OnceLock<Deadline>,
    wake: Notify,
}

impl Progress {
    pub(super) fn deadline(&self) -> Deadline {
        self.deadline.clone()
    }

    /// Says that the call goes on in an instance with others, whose deadline this is.
    pub(super) fn belongs_to(&self, instance: &Deadline) {
        self.shared.instance.get_or_init(|| instance.clone());
    }

    fn made(&self) {
        self.deadline.put_off(self.timeout);
        if let Some(instance) = self.shared.instance.get() {
            instance.put_off(self.timeout);
        }
    }

    /// Says that the call failed. To be called while its instance is still there.
    pub(super) fn fail(&self) {
        self.shared.failed.store(true, Release);
    }

    fn has_failed(&self) -> bool {
        self.shared.failed.load(Acquire)
    }

    fn end_body(&self) {
        self.shared.body_ended.store(true, Relaxed);
        self.shared.wake.notify_one();
    }
}

/// The guest's side of an answer.
pub(super) struct Exchange {
    send: oneshot::Sender<Head>,
    progress: Progress,
}

/// Resolves when the body of the answer was taken to its end, or will not be.
pub(super) struct BodyEnded(Progress);

impl BodyEnded {
    pub(super) async fn wait(self) {
        while !self.0.shared.body_ended.load(Relaxed) {
            self.0.shared.wake.notified().await;
        }
    }
}

impl Exchange {
    /// Both sides of an exchange that begins now.
    pub(super) fn new(timeout: Duration) -> (Self, Progress, oneshot::Receiver<Head>) {
        let shared = Shared {
            body_ended: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            instance: OnceLock::new(),
            wake: Notify::new(),
        };
        let deadline = Deadline::after(timeout);
        let progress = Progress { deadline, timeout, shared: Arc::new(shared) };
        let (send, receive) = oneshot::channel();
        (Self { send, progress: progress.clone() }, progress, receive)
    }

    pub(super) fn ended(&self) -> BodyEnded {
        BodyEnded(self.progress.clone())
    }

    /// Gives the head of the answer, or the guest's error code.
    pub(super) fn answer(self, head: Head) {
        if head.is_err() {
            self.progress.end_body();
        }
        // Whoever waited may have gone; the call is then dropped with its future.
        drop(self.send.send(head));
    }
}

/// Waits for the head of the answer.
pub(super) async fn wait(
    mut call: Call,
    mut head: oneshot::Receiver<Head>,
    label: Label,
    progress: Progress,
    limit: u64,
    tasks: &Tasks,
) -> Result<Response<Answer>, Refused> {
    let (mut running, mut open) = (true, true);
    let mut first = |call: &mut Call, cx: &mut Context<'_>| {
        if running && let Poll::Ready(done) = Pin::new(&mut *call).poll(cx) {
            running = false;
            match done {
                Some(Ok(())) => {}
                // Nothing was sent yet, and whether the guest was done with its body nobody knows.
                Some(Err(error)) => return Poll::Ready(Err(refusal(&error))),
                None => return Poll::Ready(Err(Refused::NoAnswer)),
            }
        }
        if open {
            match Pin::new(&mut head).poll(cx) {
                Poll::Ready(Ok(Ok(response))) => return Poll::Ready(Ok(response)),
                Poll::Ready(Ok(Err(code))) => return Poll::Ready(Err(Refused::Code(code))),
                // The guest dropped its out-parameter; its call goes on and will tell why.
                Poll::Ready(Err(_)) => open = false,
                Poll::Pending => {}
            }
        }
        if open || running { Poll::Pending } else { Poll::Ready(Err(Refused::NoAnswer)) }
    };
    // The epoch ends a guest that computes; the timer ends one that waits. It is made when the
    // first wait is: most answers are there at once.
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    let response = std::future::poll_fn(|cx| {
        if let Poll::Ready(first) = first(&mut call, cx) {
            return Poll::Ready(first);
        }
        let timer = timer.get_or_insert_with(|| {
            Box::pin(sleep_until((progress.deadline.instant() + SLACK).into()))
        });
        ready!(timer.as_mut().poll(cx));
        let last = progress.deadline.instant() + TURN;
        if call.is_in_background() && Instant::now() < last {
            timer.as_mut().reset(last.into());
            return timer.as_mut().poll(cx).map(|()| Err(Refused::Deadline(None)));
        }
        Poll::Ready(Err(Refused::Deadline(None)))
    })
    .await?;
    progress.made();
    let (parts, body) = response.into_parts();
    let call = running.then_some(call);
    let mut answer = Answer {
        body: Some(body),
        call,
        label: Some(label),
        progress,
        rest: limit,
        timer: None,
        tasks: tasks.clone(),
        ready: None,
    };
    std::future::poll_fn(|cx| {
        answer.gather(cx);
        Poll::Ready(())
    })
    .await;
    Ok(Response::from_parts(parts, answer))
}

/// Whose call it is, for the log.
pub(super) struct Label {
    pub(super) component: Arc<str>,
    pub(super) request: engine::Request,
}

impl Label {
    fn report(&self, refused: &Refused) {
        let (component, request) = (&*self.component, self.request.id.as_deref());
        tracing::warn!(component, request, "after its answer had begun {refused}");
    }
}

/// The body of a guest's answer.
pub struct Answer {
    body: Option<WasiBody>,
    /// The call, while it is not over.
    call: Option<Call>,
    label: Option<Label>,
    progress: Progress,
    rest: u64,
    timer: Option<Pin<Box<Sleep>>>,
    tasks: Tasks,
    /// The whole body, where the guest made it before anyone asked.
    ready: Option<Bytes>,
}

impl Answer {
    /// Whether all of it is there, and the guest's call is over.
    pub fn is_complete(&self) -> bool {
        self.body.is_none() && self.call.is_none()
    }

    /// Takes a body that is complete in one piece without a wait: its length is then known, and
    /// head and body go out together.
    fn gather(&mut self, cx: &mut Context<'_>) {
        let mut whole = Bytes::new();
        let mut driven = false;
        while let Some(body) = &mut self.body {
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if whole.is_empty() && data.len() as u64 <= self.rest => {
                        (whole, driven) = (data, false);
                    }
                    // More than one piece, or trailers: put back what was taken, in order.
                    Ok(data) => return self.put_back(whole, Ok(Frame::data(data))),
                    Err(other) => return self.put_back(whole, Ok(other)),
                },
                Poll::Ready(Some(Err(error))) => return self.put_back(whole, Err(error)),
                Poll::Ready(None) if self.progress.has_failed() => {
                    let error = self.drive(cx).err().unwrap_or(Error::InternalError(None));
                    return self.put_back(whole, Err(error));
                }
                Poll::Ready(None) => {
                    self.ready = Some(std::mem::take(&mut whole));
                    self.end();
                    // Most calls are over with their body. One that fails now is reported; its
                    // answer is complete all the same.
                    drop(self.drive(cx));
                }
                Poll::Pending if driven || self.call.is_none() => {
                    return self.unread((!whole.is_empty()).then_some(Ok(Frame::data(whole))));
                }
                Poll::Pending => match self.drive(cx) {
                    Ok(()) => driven = true,
                    Err(error) => return self.put_back(whole, Err(error)),
                },
            }
        }
    }

    fn put_back(&mut self, first: Bytes, second: Result<Frame<Bytes>, Error>) {
        let first = (!first.is_empty()).then_some(Ok(Frame::data(first)));
        self.unread(first.into_iter().chain([second]));
    }

    fn unread(&mut self, frames: impl IntoIterator<Item = Result<Frame<Bytes>, Error>>) {
        let frames: Vec<_> = frames.into_iter().collect();
        if let Some(rest) = self.body.take_if(|_| !frames.is_empty()) {
            self.body = Some(Unread { frames: frames.into_iter(), rest }.boxed_unsync());
        }
    }

    /// Lets the guest go on, and says whether it failed.
    fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let Some(call) = &mut self.call else { return Ok(()) };
        let Poll::Ready(done) = Pin::new(call).poll(cx) else { return Ok(()) };
        self.call = None;
        match done {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                let refused = refusal(&error);
                if let Some(label) = &self.label {
                    label.report(&refused);
                }
                Err(Error::InternalError(Some(refused.to_string())))
            }
            None => Err(Error::InternalError(None)),
        }
    }

    /// Fails once the guest gave no sign of life for too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let deadline = self.progress.deadline.instant();
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
            ready!(timer.as_mut().poll(cx));
            if self.progress.deadline.has_passed() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.progress.deadline.instant().into());
        }
    }

    fn end(&mut self) {
        self.body = None;
        self.progress.end_body();
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Some(whole) = this.ready.take() {
            return Poll::Ready((!whole.is_empty()).then(|| Ok(Frame::data(whole))));
        }
        let mut driven = false;
        loop {
            let Some(body) = &mut this.body else { return Poll::Ready(None) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.progress.made();
                    if let Some(data) = frame.data_ref() {
                        match this.rest.checked_sub(data.len() as u64) {
                            Some(rest) => this.rest = rest,
                            None => {
                                this.call = None;
                                this.end();
                                return Poll::Ready(Some(Err(Error::HttpResponseBodySize(None))));
                            }
                        }
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Some(Err(error))) => {
                    this.end();
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    let failed = this.progress.has_failed();
                    this.end();
                    // One more turn: most calls are over with their body, and then need no task.
                    let driven = this.drive(cx).err();
                    let error = || driven.unwrap_or(Error::InternalError(None));
                    return Poll::Ready(failed.then(|| Err(error())));
                }
                Poll::Pending if driven || this.call.is_none() => {
                    return match this.poll_deadline(cx) {
                        Poll::Ready(()) => {
                            this.call = None;
                            this.end();
                            Poll::Ready(Some(Err(Error::HttpResponseTimeout)))
                        }
                        Poll::Pending => Poll::Pending,
                    };
                }
                Poll::Pending => {
                    if let Err(error) = this.drive(cx) {
                        this.end();
                        return Poll::Ready(Some(Err(error)));
                    }
                    driven = true;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.ready {
            Some(whole) => whole.is_empty(),
            None => self.body.is_none() && self.call.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.ready, &self.body) {
            (Some(whole), _) => SizeHint::with_exact(whole.len() as u64),
            (None, Some(body)) => body.size_hint(),
            (None, None) => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        if self.body.is_some() {
            // The client went away: the guest's work is for nobody.
            return;
        }
        // The answer is complete, the guest is not: what it still does is bounded by its deadline.
        let Some(label) = self.label.take() else { return };
        let progress = self.progress.clone();
        progress.made();
        self.tasks.spawn(async move {
            let deadline = progress.deadline.instant() + SLACK;
            match tokio::time::timeout_at(deadline.into(), call).await {
                Ok(Some(Ok(()))) => {}
                Ok(Some(Err(error))) => label.report(&refusal(&error)),
                Ok(None) => label.report(&Refused::NoAnswer),
                Err(_elapsed) => label.report(&Refused::Deadline(None)),
            }
        });
    }
}

/// A body of which some frames were taken and given back.
struct Unread {
    frames: std::vec::IntoIter<Result<Frame<Bytes>, Error>>,
    rest: WasiBody,
}

impl Body for Unread {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.frames.next() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}
