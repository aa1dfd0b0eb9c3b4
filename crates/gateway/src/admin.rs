//! The operator's address: whether the program is well, and what it counts. Off unless asked for.

use crate::listener::Bound;
use base::{Error, Result};
use bytes::Bytes;
use engine::{Stop, Tasks};
use http_body_util::Full;
use http_types::header::CONTENT_TYPE;
use http_types::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Where the health of the program is asked for.
pub const HEALTH: &str = "/.well-known/wharf/health";

/// Where metrics are asked for, in the text form of Prometheus.
pub const METRICS: &str = "/.well-known/wharf/metrics";

/// Connections of operators that are open at once.
const CONNECTIONS: usize = 64;

/// What there is to say: whether all is well, and the text.
pub type Health = Arc<dyn Fn() -> (bool, String) + Send + Sync>;

/// What operators may ask for. Cheap to clone.
#[derive(Clone)]
pub struct Pages {
    /// Whether the program is well.
    pub health: Health,
    /// What it counts.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Answers on the operator's address until told to stop.
///
/// # Errors
/// `Unavailable` when the address cannot be served.
pub fn serve(bound: Bound, pages: Pages, tasks: &Tasks, stop: Stop) -> Result<()> {
    let listener = bound
        .into_tokio()
        .map_err(|error| Error::unavailable("serving the admin address").with_source(error))?;
    let connections = tasks.clone();
    tasks.spawn(async move {
        let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.wait() => return,
                accepted = listener.accept() => accepted,
            };
            // One connection too many is closed: the operator's address is for few.
            let (Ok((stream, _)), Ok(place)) = (accepted, Arc::clone(&room).try_acquire_owned())
            else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let (pages, stop) = (pages.clone(), stop.clone());
            connections.spawn(async move {
                let service = service_fn(|request| {
                    let response = answer(&request, &pages);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(10))
                    .serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    ended = connection => drop(ended),
                    () = stop.wait() => {}
                }
                drop(place);
            });
        }
    });
    Ok(())
}

fn answer(request: &Request<hyper::body::Incoming>, pages: &Pages) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, HEALTH) => match (pages.health)() {
            (true, text) => (StatusCode::OK, text),
            (false, text) => (StatusCode::SERVICE_UNAVAILABLE, text),
        },
        (&Method::GET | &Method::HEAD, METRICS) => {
            let mut response = Response::new(Full::new(Bytes::from((pages.metrics)())));
            let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, text);
            return response;
        }
        (_, HEALTH | METRICS) => {
            (StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"GET only"}"#.to_owned())
        }
        _ => {
            let text = format!(r#"{{"error":"there are only {HEALTH} and {METRICS}"}}"#);
            (StatusCode::NOT_FOUND, text)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(text + "\n")));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
