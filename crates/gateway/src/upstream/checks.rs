//! Servers are asked whether they are well, over connections of their own.

use super::endpoint::Endpoint;
use super::settings::Check;
use super::{Upstream, replay};
use bytes::Bytes;
use engine::Stop;
use futures::StreamExt as _;
use http::client::Options;
use http_body_util::{BodyExt as _, Empty, Limited};
use http_types::header::USER_AGENT;
use http_types::{HeaderValue, Request, Uri};
use std::sync::{Arc, Weak};

/// How many servers of one upstream are asked at once.
const AT_ONCE: usize = 32;

/// How much of an answer is read so that its connection can be kept.
const BODY: usize = 64 << 10;

/// Asks the servers of an upstream until it is gone.
pub(super) async fn watch(upstream: Weak<Upstream>, stop: Stop) {
    loop {
        let Some(this) = upstream.upgrade() else { return };
        let Some(rule) = this.settings.check.clone() else { return };
        let asking = async {
            let members = this.members.load_full();
            let ask = |endpoint| ask(&this, endpoint, &rule);
            futures::stream::iter(members.endpoints.iter().map(Arc::clone))
                .map(ask)
                .buffer_unordered(AT_ONCE)
                .collect::<()>()
                .await;
        };
        tokio::select! {
            biased;
            () = stop.wait() => return,
            () = asking => {}
        }
        drop(this);
        // A little earlier or later, so that several hosts do not ask at the same moment.
        let pause = rule.interval.mul_f64(0.9 + 0.2 * fastrand::f64());
        tokio::select! {
            biased;
            () = stop.wait() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn ask(upstream: &Arc<Upstream>, endpoint: Arc<Endpoint>, rule: &Check) {
    let why = answer(upstream, &endpoint, rule).await.err();
    if endpoint.verdict.note(why.is_none(), rule) {
        let (upstream, endpoint) = (upstream.name(), &*endpoint);
        match why {
            Some(why) => tracing::warn!(upstream, %endpoint, why, "a server is ill"),
            None => tracing::info!(upstream, %endpoint, "a server is well again"),
        }
    }
}

/// What is wrong with a server, if something is.
async fn answer(upstream: &Upstream, endpoint: &Endpoint, rule: &Check) -> Result<(), String> {
    let Some(path) = &rule.path else {
        let opened = tokio::time::timeout(rule.timeout, endpoint.checker.open(rule.timeout)).await;
        let opened = opened.map_err(|_elapsed| "it took too long".to_owned())?;
        return opened.map(drop).map_err(|error| error.to_string());
    };
    let host = upstream.settings.host.clone().unwrap_or_else(|| endpoint.place.authority());
    let uri = Uri::builder().scheme("http").authority(host).path_and_query(&**path).build();
    let body: replay::Pulled = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::new(body);
    *request.uri_mut() = uri.map_err(|error| error.to_string())?;
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("wharf"));
    let options = Options { total_timeout: Some(rule.timeout), ..Options::default() };
    let exchange = endpoint.checker.send(request, options).await;
    let response = exchange.map_err(|error| error.to_string())?.response;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("it answered {}", status.as_u16()));
    }
    // Whole or not, the answer was good.
    drop(Limited::new(response.into_body(), BODY).collect().await);
    Ok(())
}
