//! Requests of guests on their way out: `wasi:http` 0.2 and 0.3 in front of [`Client`].

mod codes;

use crate::client::{self, Client, Exchange, Options, Phase, Protocol};
use engine::Calls;
use http_body_util::BodyExt as _;
use http_types::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http_types::uri::Scheme;
use http_types::{HeaderMap, Request, Response};
use std::io;
use std::sync::{Arc, LazyLock};
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p3::bindings::http::types as p3;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

/// How requests of one component go out. Cheap to clone: one for each instance.
#[derive(Clone, Debug)]
pub struct Hooks {
    client: Client,
    calls: Option<Calls>,
    hops: Option<usize>,
}

/// Through how many hosts a chain of requests may go before it is taken for a loop.
const HOPS: usize = 16;
/// The header that counts them (RFC 8586), and our name in it.
const LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const NAME: &str = "wharf";

type Answer = Result<(Response<WasiBody>, Sent), Error>;
type Sent = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl Hooks {
    /// Sends everything through `client`, whose rules and limits are the component's.
    pub fn new(client: Client) -> Self {
        Self { client, calls: None, hops: None }
    }

    /// Runs each request as a host call, until the head of its response is there.
    #[must_use]
    pub fn with_calls(mut self, calls: Calls) -> Self {
        self.calls = Some(calls);
        self
    }

    /// Guards against loops from now on: requests begin a chain, until one is joined.
    ///
    /// Without it nothing is guarded, and no header is added.
    pub fn begin_chain(&mut self) {
        self.hops = Some(0);
    }

    /// Requests from now on continue the chain of the one with these headers, which the instance
    /// is answering; of several, the longest.
    pub fn join_chain(&mut self, incoming: &HeaderMap) {
        self.hops = self.hops.max(Some(hops(incoming)));
    }

    /// Counts this host into the chain.
    fn continue_chain(&self, headers: &mut HeaderMap) -> Result<(), client::Error> {
        let Some(hops) = self.hops else { return Ok(()) };
        // A guest that passes its headers on passes the chain on.
        let hops = hops.max(self::hops(headers)) + 1;
        if hops > HOPS {
            return Err(client::Error::LoopDetected);
        }
        let chain = vec![NAME; hops].join(", ");
        // Letters and commas are a header value.
        if let Ok(chain) = HeaderValue::try_from(chain) {
            headers.insert(LOOP, chain);
        }
        Ok(())
    }
}

fn hops(headers: &HeaderMap) -> usize {
    let values = headers.get_all(LOOP).iter().filter_map(|value| value.to_str().ok());
    // RFC 8586, section 2: each entry is a name, perhaps with parameters.
    let names = values.flat_map(|value| value.split(',')).filter_map(|name| name.split(';').next());
    names.filter(|name| name.trim() == NAME).count()
}

/// gRPC needs HTTP/2, also where no TLS is there to agree on it. gRPC-Web does not.
fn protocol<B>(request: &Request<B>) -> Protocol {
    let kind = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let grpc = kind.starts_with(b"application/grpc") && !kind.starts_with(b"application/grpc-web");
    let clear = request.uri().scheme() == Some(&Scheme::HTTP);
    if grpc && clear { Protocol::Http2 } else { Protocol::Auto }
}

async fn send(hooks: Hooks, mut request: Request<WasiBody>, options: Options) -> Answer {
    hooks.continue_chain(request.headers_mut())?;
    let sending = hooks.client.send(request, options);
    let exchange = match &hooks.calls {
        Some(calls) => counted(calls, sending).await?,
        None => sending.await?,
    };
    let Exchange { response, sent, tunnel: _ } = exchange;
    let response = response.map(|body| body.map_err(Error::from).boxed_unsync());
    Ok((response, Box::new(async move { Ok(sent.await?) })))
}

/// Runs a request as a host call, and keeps its own error.
async fn counted(
    calls: &Calls,
    sending: impl Future<Output = Result<Exchange, client::Error>> + Send,
) -> Result<Exchange, client::Error> {
    let mut failure = client::Error::HttpResponseTimeout;
    let call = async {
        sending.await.map_err(|error| {
            let told = base::Error::unavailable(error.to_string());
            failure = error;
            told
        })
    };
    calls.run("http", "send", call).await.map_err(|_told| failure)
}

/// Fields that belong to the connection and not to the message. One for all: it is asked for each
/// field of each request.
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> = LazyLock::new(|| Arc::new(is_forbidden));

fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::clone(&FORBIDDEN)
    }

    /// The client sets it, for the version of HTTP that is spoken.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let asked = options.unwrap_or_default();
        let options = Options {
            connect_timeout: asked.connect_timeout,
            first_byte_timeout: asked.first_byte_timeout,
            between_bytes_timeout: asked.between_bytes_timeout,
            total_timeout: None,
            protocol: protocol(&request),
            upgrade: false,
        };
        Box::new(send(self.clone(), request, options))
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> p2::ErrorCode {
        client::classify(error, Phase::Body).into()
    }

    fn p2_error_from_connect(&mut self, error: &io::Error) -> p2::ErrorCode {
        client::classify_connect(error).into()
    }

    fn p2_error_from_tls(&mut self, error: &io::Error) -> p2::ErrorCode {
        client::classify_tls(error).into()
    }

    fn p3_error_from_hyper(&mut self, error: &hyper::Error) -> p3::ErrorCode {
        client::classify(error, Phase::Body).into()
    }

    fn p3_error_from_connect(&mut self, error: &io::Error) -> p3::ErrorCode {
        client::classify_connect(error).into()
    }

    fn p3_error_from_tls(&mut self, error: &io::Error) -> p3::ErrorCode {
        client::classify_tls(error).into()
    }
}
