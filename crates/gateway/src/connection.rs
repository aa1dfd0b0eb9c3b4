//! One connection, from its first byte to its last.

use crate::forwarded::Peer;
use crate::io::Patient;
use crate::path::Shared;
use engine::Stop;
use futures::FutureExt as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::interval;

/// How often a connection looks for answers that nobody takes, at the most and at the least.
const SOON: Duration = Duration::from_millis(250);
const SELDOM: Duration = Duration::from_secs(15);

/// Speaks HTTP/1.1 or HTTP/2 on `stream`, whichever the client begins with.
pub(crate) async fn serve<S>(stream: S, peer: Peer, shared: Arc<Shared>, stop: Stop)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let builder = builder(&shared);
    let settings = &shared.settings;
    let stream = Patient::new(stream, settings.write_timeout, settings.header_timeout);
    let stream = TokioIo::new(Box::pin(stream));
    let peer = Arc::new(peer);
    let bodies = Arc::clone(&peer);
    let write_timeout = settings.write_timeout;
    let service = service_fn(move |request| {
        // In a box, because HTTP moves the future around and this one is large.
        let answer = Box::pin(Arc::clone(&shared).serve(Arc::clone(&peer), request));
        answer.map(Ok::<_, Infallible>)
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(stream, service));
    let mut look = interval(write_timeout.div_f32(4.0).clamp(SOON, SELDOM));
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => break ended,
            () = stop.wait(), if !stopping => {
                // Requests that were begun are answered; no further one is taken.
                connection.as_mut().graceful_shutdown();
                stopping = true;
            }
            _ = look.tick() => if bodies.bodies.have_stalled(write_timeout) {
                tracing::debug!("a connection ended whose client takes nothing");
                return;
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn builder(shared: &Shared) -> auto::Builder<TokioExecutor> {
    let settings = &shared.settings;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(settings.max_head.max(8 << 10))
        // Never `pipeline_flush`: with it hyper bounds no write buffer and drops its own answers.
        .max_headers(settings.max_headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.max_streams)
        .max_header_list_size(u32::try_from(settings.max_head).unwrap_or(u32::MAX))
        // Resets that cost us work are how HTTP/2 servers are flooded.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(settings.header_timeout)
        .adaptive_window(false)
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20);
    builder
}
